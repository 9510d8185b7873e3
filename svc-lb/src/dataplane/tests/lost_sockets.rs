//! Which sockets have lost their backend, and after which syncs it is worth asking.

use super::{add, in_namespaces, keep_with_socket, open, tables};
use crate::{
    compile::{Family, Protocol, Service, ServicePort, Tables},
    dataplane::Dataplane,
};
use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
};
use svc_lb_common::{
    address::{Be16, Ipv4},
    socket::{Mapped, Peer, Remote},
};

/// Tables with a service of UDP, too.
fn with_dns(endpoints: &[&str]) -> Tables {
    let mut tables = tables();
    let service = Arc::new(ServicePort {
        namespace: "kube-system".to_owned(),
        name: "kube-dns".to_owned(),
        port: "dns".to_owned(),
        protocol: Protocol::Udp,
        family: Family::V4,
    });
    let list: Vec<_> = endpoints.iter().map(|it| it.parse().expect("an endpoint")).collect();
    tables.services.insert(service, Service::from(list));
    tables
}

#[test]
fn a_sync_says_whether_udp_has_lost_a_backend() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        let mut gone = |tables: &Tables| dataplane.sync(tables).expect("a sync").udp_backends_gone;
        assert!(gone(&with_dns(&["10.0.0.1:53"])), "nobody knows what was there before the first sync");
        assert!(!gone(&with_dns(&["10.0.0.1:53"])));
        assert!(!gone(&with_dns(&["10.0.0.1:53", "10.0.0.2:53"])));
        let mut less_web = with_dns(&["10.0.0.1:53", "10.0.0.2:53"]);
        add(&mut less_web, "web", "10.96.0.1", &["10.0.0.1:8080"]);
        assert!(!gone(&less_web), "TCP lives as long as its peer");
        assert!(gone(&with_dns(&["10.0.0.2:53"])));
        assert!(gone(&tables()), "a service that goes takes its backends along");
    });
}

/// What is kept with a socket that was connected to the one endpoint of UDP.
fn connection(dataplane: &Dataplane) -> Peer {
    let services = dataplane.services().expect("services");
    let dns = services.iter().find(|service| service.name == "kube-dns").expect("the service");
    let [backend] = &dns.backends[..] else { panic!("not one endpoint: {dns:?}") };
    let remote = |address: Ipv4Addr| Remote::new(Ipv4::from(address).mapped(), Be16::new(53));
    Peer {
        frontend: remote(Ipv4Addr::new(10, 96, 0, 10)),
        backend: remote(Ipv4Addr::new(10, 0, 0, 1)),
        service: dns.id,
        index: backend.index,
        generation: backend.generation,
        flags: Peer::CONNECTED,
        ..Peer::default()
    }
}

#[test]
fn a_connected_socket_of_udp_is_lost_when_its_backend_is_gone() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        dataplane.sync(&with_dns(&["10.0.0.1:53"])).expect("a sync");
        let first = connection(&dataplane);
        let unconnected = Peer { flags: Peer::ANSWERED, ..first };
        let no_service = Peer { frontend: Remote::default(), ..first };
        let udp = [first, unconnected, no_service].map(|peer| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            keep_with_socket(pin_dir, &socket, &peer);
            socket
        });
        let lost_sockets = dataplane.lost_sockets().expect("an iterator");
        let lost = || lost_sockets.read().expect("sockets");
        assert_eq!(lost(), []);

        dataplane.sync(&tables()).expect("a sync");
        let [only] = lost()[..] else { panic!("not one socket: {:?}", lost()) };
        assert_eq!(only.backend, first.backend);
        dataplane.sync(&with_dns(&["10.0.0.1:53"])).expect("a sync");
        assert_eq!(lost(), [only], "an endpoint that comes back is another one");
        keep_with_socket(pin_dir, &udp[0], &connection(&dataplane));
        assert_eq!(lost(), []);
    });
}
