//! Which sockets are closed, against the kernel: each test in namespaces of its own, where endpoints are
//! addresses of the loopback link.

use super::{Closer, pass::close_lost};
use crate::{
    compile::{Family, Protocol, Service, ServicePort, Tables},
    dataplane::{
        Dataplane,
        tests::{in_namespaces, keep_with_socket, open},
    },
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use std::{
    fs::{self, File},
    net::{IpAddr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};
use svc_lb_common::{
    address::{Be16, Ipv4, Ipv6},
    socket::{Mapped, Peer, Remote},
};

/// What the clients believe to speak to.
const FRONTEND: &str = "10.96.0.10:53";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address and port")
}

fn remote(address: SocketAddr) -> Remote {
    let ip = match address.ip() {
        IpAddr::V4(ip) => Ipv4::from(ip).mapped(),
        IpAddr::V6(ip) => Ipv6::from(ip),
    };
    Remote::new(ip, Be16::new(address.port()))
}

/// A service of UDP in each family, with these endpoints.
fn tables(endpoints: &[&str]) -> Tables {
    let mut tables = Tables::default();
    for family in [Family::V4, Family::V6] {
        let service = Arc::new(ServicePort {
            namespace: "kube-system".to_owned(),
            name: "kube-dns".to_owned(),
            port: "dns".to_owned(),
            protocol: Protocol::Udp,
            family,
        });
        let endpoints = endpoints.iter().map(|text| address(text));
        let list: Vec<_> = endpoints.filter(|endpoint| Family::of(endpoint.ip()) == family).collect();
        tables.services.insert(service, Service::from(list));
    }
    tables
}

/// A dataplane with endpoints, and what programs do to sockets.
struct Node {
    pin_dir: PathBuf,
    dataplane: Dataplane,
}

impl Node {
    fn new(pin_dir: &Path, endpoints: &[&str]) -> Self {
        up();
        let mut dataplane = open(pin_dir);
        dataplane.sync(&tables(endpoints)).expect("a sync");
        Self { pin_dir: pin_dir.to_owned(), dataplane }
    }

    fn sync(&mut self, endpoints: &[&str]) {
        self.dataplane.sync(&tables(endpoints)).expect("a sync");
    }

    /// What a program keeps that chooses an endpoint now.
    fn choose(&self, endpoint: &str) -> Peer {
        let endpoint = address(endpoint);
        let services = self.dataplane.services().expect("services");
        let mut backends =
            services.iter().flat_map(|service| service.backends.iter().map(move |it| (service.id, it)));
        let (service, backend) =
            backends.find(|(_, it)| SocketAddr::new(it.address, it.port) == endpoint).expect("a backend");
        Peer {
            frontend: remote(address(FRONTEND)),
            backend: remote(endpoint),
            service,
            index: backend.index,
            generation: backend.generation,
            flags: Peer::CONNECTED,
            ..Peer::default()
        }
    }

    /// A socket for which an endpoint was chosen.
    fn client(&self, endpoint: &str) -> UdpSocket {
        let socket = connected(endpoint);
        self.keep(&socket, &self.choose(endpoint));
        socket
    }

    fn keep(&self, socket: &UdpSocket, peer: &Peer) {
        keep_with_socket(&self.pin_dir, socket, peer);
    }

    /// One pass; how many sockets it has closed.
    fn close_lost(&mut self) -> usize {
        close_lost(&self.dataplane.lost_sockets().expect("an iterator")).expect("a pass")
    }
}

/// Sets the loopback link of this thread's namespace up.
fn up() {
    let words = ["link", "set", "lo", "up"];
    assert!(Command::new("ip").args(words).status().expect("iproute2 is installed").success());
}

/// A socket in this thread's network namespace.
fn connected(to: &str) -> UdpSocket {
    let to = address(to);
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("a socket");
    socket.connect(to).expect("a route");
    socket
}

/// Whether a socket was closed; otherwise it is still connected.
fn is_closed(socket: &UdpSocket) -> bool {
    let error = socket.take_error().expect("a socket");
    let closed = error.map(|error| error.raw_os_error()) == Some(Some(libc::ECONNABORTED));
    assert_ne!(socket.peer_addr().is_ok(), closed);
    closed
}

#[test]
fn sockets_of_removed_endpoints_are_closed_in_both_families() {
    in_namespaces(|pin_dir| {
        let mut node = Node::new(pin_dir, &["127.0.0.1:53", "[::1]:53"]);
        let mapped = connected("[::ffff:127.0.0.1]:53");
        node.keep(&mapped, &node.choose("127.0.0.1:53"));
        let clients = [node.client("127.0.0.1:53"), node.client("[::1]:53"), mapped];
        assert_eq!(node.close_lost(), 0, "all endpoints are there");
        assert!(!clients.iter().any(is_closed));
        node.sync(&[]);
        assert_eq!(node.close_lost(), 3);
        assert!(clients.iter().all(is_closed));
        assert_eq!(node.close_lost(), 0, "they are connected no more");
    });
}

#[test]
fn whoever_has_not_lost_an_endpoint_lives_on() {
    in_namespaces(|pin_dir| {
        let mut node = Node::new(pin_dir, &["127.0.0.1:53", "127.0.0.2:53"]);
        let chosen = node.choose("127.0.0.1:53");
        let other_endpoint = node.client("127.0.0.2:53");
        let no_service = connected("127.0.0.1:53");
        let no_service_any_more = connected("127.0.0.1:53");
        node.keep(&no_service_any_more, &Peer { frontend: Remote::default(), ..chosen });
        let elsewhere = connected("127.0.0.9:53");
        node.keep(&elsewhere, &chosen);
        let other_port = connected("127.0.0.1:54");
        node.keep(&other_port, &chosen);
        let unconnected = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        node.keep(&unconnected, &chosen);

        node.sync(&["127.0.0.2:53"]);
        node.sync(&["127.0.0.1:53", "127.0.0.2:53"]);
        let chosen_anew = node.client("127.0.0.1:53");
        assert_eq!(node.close_lost(), 0);
        for (what, socket) in [
            ("another endpoint", other_endpoint),
            ("no service", no_service),
            ("no service any more", no_service_any_more),
            ("another address", elsewhere),
            ("another port", other_port),
            ("the endpoint that came back", chosen_anew),
        ] {
            assert!(!is_closed(&socket), "{what}");
        }
        assert!(unconnected.take_error().expect("a socket").is_none());
    });
}

#[test]
fn sockets_are_found_where_a_single_thread_is_and_where_nobody_is_but_a_name() {
    in_namespaces(|pin_dir| {
        let mut node = Node::new(pin_dir, &["127.0.0.1:53"]);
        let none = None::<&str>;
        mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("a /run of its own");
        fs::create_dir("/run/netns").expect("a directory");
        File::create("/run/netns/gone").expect("a name that stands for nothing");
        let chosen = node.choose("127.0.0.1:53");
        let client = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace for this thread");
            up();
            let client = connected("127.0.0.1:53");
            keep_with_socket(pin_dir, &client, &chosen);
            client
        };
        let (clients, made) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let by_name = scope.spawn(|| {
                File::create("/run/netns/pod").expect("a name");
                let client = client();
                let own = Some("/proc/thread-self/ns/net");
                mount(own, "/run/netns/pod", none, MsFlags::MS_BIND, none).expect("a named namespace");
                client
            });
            let by_name = by_name.join().expect("a client");
            scope.spawn(move || {
                clients.send(client()).expect("somebody waits");
                ended.recv()
            });
            let by_thread = made.recv().expect("a client");
            node.sync(&[]);
            assert_eq!(node.close_lost(), 2);
            assert!(is_closed(&by_name) && is_closed(&by_thread));
            drop(end);
        });
    });
}

#[test]
fn whoever_waits_for_a_removed_endpoint_gets_an_error() {
    in_namespaces(|pin_dir| {
        let mut node = Node::new(pin_dir, &["127.0.0.1:53"]);
        let closer = Closer::start(node.dataplane.lost_sockets()).expect("a closer");
        let client = node.client("127.0.0.1:53");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| client.recv(&mut [0; 1]));
            node.sync(&[]);
            closer.look();
            let error = waiting.join().expect("no panic").expect_err("nobody answers");
            assert_eq!(error.raw_os_error(), Some(libc::ECONNABORTED));
        });
        assert_eq!(closer.problem(), None);
    });
}
