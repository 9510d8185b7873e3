//! What cannot be served is refused at once, and what must not be served is not.

use anyhow::Result;
use std::{
    io::ErrorKind::{ConnectionRefused, TimedOut, WouldBlock},
    net::SocketAddr,
    time::{Duration, Instant},
};
use svc_lb::compile::Protocol;
use svc_lb_common::counters::{
    DropReason::ClusterIpFromUplink,
    Program::{TcPodIngress, TcUplinkIngress, XdpUplink},
};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb, Xdp,
    finishers::connecting,
    manifest::PORT,
    plan::{FAMILIES, KINDS},
    wait::{SOON, until},
    with_and_without_socket_lb, with_and_without_xdp,
};

/// What "in milliseconds" may be on a busy machine. TCP sends its second SYN after twice that time.
const AT_ONCE: Duration = Duration::from_millis(500);

with_and_without_xdp!(
    a_service_without_endpoints_refuses_clients_outside_at_once,
    a_cluster_ip_is_not_reachable_from_outside,
    a_cluster_ip_is_reachable_from_outside_where_it_is_meant_to,
);

with_and_without_socket_lb!(
    a_service_without_endpoints_refuses_pods_at_once,
    a_port_of_a_cluster_ip_that_no_service_has_refuses_pods_at_once,
);

fn refused_at_once(client: &Host, protocol: Protocol, target: SocketAddr) {
    let start = Instant::now();
    let error = client.dial(protocol, target).ask().expect_err("nobody is there");
    assert_eq!(error.kind(), ConnectionRefused, "{target} {protocol}: {error}");
    assert!(start.elapsed() < AT_ONCE, "{target} {protocol}: {:?}", start.elapsed());
}

fn a_service_without_endpoints_refuses_clients_outside_at_once(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let service = Service::number(1);
    rig.apply(&[&service])?;
    let rejecter = match xdp {
        Xdp::Native => XdpUplink,
        _ => TcUplinkIngress,
    };
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            refused_at_once(rig.client(), protocol, rig.node_port(&service, family));
            Ok(())
        })?;
        assert_eq!(work.rejected_by(), [rejecter], "{protocol} {family}");
        assert_eq!((work.forwarded_by(), work.replied_by()), (vec![], vec![]));
    }
    assert_eq!(rig.losses(&[])?, [] as [String; 0]);
    Ok(())
}

fn a_service_without_endpoints_refuses_pods_at_once(socket_lb: SocketLb) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).start()?;
    let pod = rig.pod("pod")?;
    let service = Service::number(1);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let rejecter = match socket_lb {
            SocketLb::On => connecting(family),
            SocketLb::Off => TcPodIngress,
        };
        for target in [service.cluster_ip(family), rig.node_port(&service, family)] {
            let work = rig.work_of(|| {
                rig.internal_clients(&pod)
                    .iter()
                    .for_each(|client| refused_at_once(client, protocol, target));
                Ok(())
            })?;
            assert_eq!(work.rejected_by(), [rejecter], "{target} {protocol}");
        }
    }
    assert_eq!(rig.losses(&[&pod])?, [] as [String; 0]);
    Ok(())
}

fn a_port_of_a_cluster_ip_that_no_service_has_refuses_pods_at_once(socket_lb: SocketLb) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let target = SocketAddr::new(service.cluster_ip(family).ip(), 81);
        rig.internal_clients(&pod).iter().for_each(|client| refused_at_once(client, protocol, target));
    }
    Ok(())
}

fn a_cluster_ip_is_not_reachable_from_outside(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let dropper = match xdp {
        Xdp::Native => XdpUplink,
        _ => TcUplinkIngress,
    };
    let outside = |family, protocol, port| {
        let target = SocketAddr::new(service.cluster_ip(family).ip(), port);
        let dial = rig.client().dial(protocol, target).patience(Duration::from_millis(300));
        dial.ask().expect_err("it must not answer").kind()
    };
    let assert_closed = || -> Result<()> {
        for (family, protocol) in KINDS {
            let work = rig.work_of(|| {
                let error = outside(family, protocol, PORT);
                assert!([TimedOut, WouldBlock].contains(&error), "{protocol} {family}: {error}");
                Ok(())
            })?;
            assert_eq!(work.dropped_by(), [dropper], "{protocol} {family}");
            assert_eq!(work.drops(ClusterIpFromUplink), work.all_drops());
            assert_eq!((work.forwarded_by(), work.rejected_by()), (vec![], vec![]));
        }
        Ok(())
    };
    assert_closed()?;
    // Another port of the address may be open to everyone.
    let [v4, v6] = FAMILIES.map(|family| service.cluster_ip(family).ip());
    let open = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: open}}, spec: {{ipFamilyPolicy: RequireDualStack,
          externalIPs: [{v4}, \"{v6}\"], ports: [{{port: 81}}]}}}}"
    );
    rig.write_file("open.yaml", &open)?;
    let is_open = |family| outside(family, Protocol::Tcp, 81) == ConnectionRefused;
    until("another port is open", SOON, || Ok(FAMILIES.into_iter().all(is_open).then_some(())))?;
    assert_closed()
}

fn a_cluster_ip_is_reachable_from_outside_where_it_is_meant_to(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).switch("--external-cluster-ips").start()?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let (client, node) = (rig.client(), rig.node());
    for (backend, seen) in [(&local, client), (&remote, node)] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        for (family, protocol) in KINDS {
            let answer = client.dial(protocol, service.cluster_ip(family)).ask()?;
            assert_eq!((answer.by.as_str(), answer.client.ip()), (backend.name(), seen.address(family)));
        }
    }
    Ok(())
}
