//! New connections are shared out exactly, and a connection that stands stays where it is.

use anyhow::Result;
use std::{io, time::Duration};
use svc_lb::compile::Protocol;
use svc_lb_common::counters::Program::{TcUplinkEgress, TcUplinkIngress, XdpUplink};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb, Xdp, conversation::Standing, finishers::assert_internal, plan::KINDS,
    with_and_without_socket_lb, with_and_without_xdp,
};

with_and_without_xdp!(
    three_hundred_connections_from_outside_reach_three_backends_a_hundred_times_each,
    connections_stay_when_endpoints_are_added_removed_and_reordered,
    a_udp_flow_to_a_removed_backend_chooses_anew_at_once,
);

with_and_without_socket_lb!(three_hundred_connections_of_pods_reach_three_backends_a_hundred_times_each);

fn three_hundred_connections_of_pods_reach_three_backends_a_hundred_times_each(
    socket_lb: SocketLb,
) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).start()?;
    let pod = rig.pod("pod")?;
    let (one, two, three) = (rig.pod("one")?, rig.pod("two")?, rig.remote_pod("three")?);
    let service = Service::number(1).behind([&one, &two, &three]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for client in rig.internal_clients(&pod) {
            let work = rig.work_of(|| {
                let tally = client.dial(protocol, service.cluster_ip(family)).threads(8).times(300)?;
                assert_eq!(tally, [("one", 100), ("two", 100), ("three", 100)], "{protocol} {family}");
                Ok(())
            })?;
            assert_internal(&work, socket_lb, &service, (family, protocol), 300);
        }
    }
    Ok(())
}

fn three_hundred_connections_from_outside_reach_three_backends_a_hundred_times_each(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (one, two, three) = (rig.pod("one")?, rig.remote_pod("two")?, rig.remote_pod("three")?);
    let service = Service::number(1).behind([&one, &two, &three]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            let target = rig.node_port(&service, family);
            let tally = rig.client().dial(protocol, target).threads(8).times(300)?;
            assert_eq!(tally, [("one", 100), ("two", 100), ("three", 100)], "{protocol} {family}");
            Ok(())
        })?;
        assert_eq!(work.new_flows(&service, protocol, family), 300);
        let (forwarders, repliers) = match xdp {
            Xdp::Native => (vec![XdpUplink, TcUplinkIngress], vec![XdpUplink, TcUplinkEgress]),
            _ => (vec![TcUplinkIngress], vec![TcUplinkIngress, TcUplinkEgress]),
        };
        assert_eq!((work.forwarded_by(), work.replied_by()), (forwarders, repliers));
    }
    assert_eq!(rig.losses(&[&one, &two, &three])?, [] as [String; 0]);
    Ok(())
}

fn connections_stay_when_endpoints_are_added_removed_and_reordered(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).socket_lb(SocketLb::On).start()?;
    let (pod, member) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?);
    let hosts = [rig.pod("one")?, rig.remote_pod("two")?, rig.pod("three")?, rig.remote_pod("four")?];
    let [one, two, three, four] = &hosts;
    let service = Service::number(1).behind([one, two]);
    rig.apply(&[&service])?;
    let mut standing = Vec::new();
    for (family, protocol) in KINDS {
        for _ in 0..6 {
            standing.push(Standing::begin(rig.client(), protocol, rig.node_port(&service, family))?);
            for client in [&pod, &member, rig.node()] {
                standing.push(Standing::begin(client, protocol, service.cluster_ip(family))?);
            }
        }
    }
    // Added, reordered, one removed, which its connections outlive, and put back.
    let changes: [(&[&Host], bool); 5] = [
        (&[one, two, three], true),
        (&[four, three, two, one], true),
        (&[four, two], false),
        (&[two, three, four], false),
        (&[one, two], false),
    ];
    for (endpoints, udp_of_one_stands) in changes {
        rig.apply(&[&service.behind(endpoints.iter().copied())])?;
        if !udp_of_one_stands {
            standing.retain(|flow| matches!(flow, Standing::Tcp(_)) || flow.backend() != "one");
        }
        for flow in &mut standing {
            flow.go_on()?;
        }
        let count = endpoints.len();
        for (family, protocol) in KINDS {
            let tally = rig.client().dial(protocol, rig.node_port(&service, family)).times(2 * count)?;
            let mut names: Vec<_> = endpoints.iter().map(|host| host.name().to_owned()).collect();
            names.sort_unstable();
            assert!(tally.0.keys().eq(names.iter()) && tally.0.values().all(|&n| n == 2), "{tally}");
        }
    }
    Ok(())
}

fn a_udp_flow_to_a_removed_backend_chooses_anew_at_once(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let service = Service::number(1);
    for (family, _) in KINDS.into_iter().filter(|&(_, protocol)| protocol == Protocol::Udp) {
        rig.apply(&[&service.behind([&local])])?;
        let outside = rig.client().udp(rig.node_port(&service, family)).exchange()?;
        let inside = pod.udp(service.cluster_ip(family)).patience(Duration::from_secs(1)).exchange()?;
        for (backend, other) in [(&local, &remote), (&remote, &local)] {
            assert_eq!(outside.ask()?.by, backend.name());
            assert_eq!(inside.ask()?.by, backend.name());
            rig.apply(&[&service.behind([other])])?;
        }
        assert_eq!(outside.ask()?.by, "local");
        rig.apply(&[&service])?;
        for exchange in [&outside, &inside] {
            let error = exchange.ask().expect_err("no backend is left");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
        }
        // The same sockets reach the first that comes, and nobody once the Service is gone.
        rig.apply(&[&service.behind([&remote])])?;
        assert_eq!((outside.ask()?.by, inside.ask()?.by), ("remote".to_owned(), "remote".to_owned()));
        rig.apply(&[])?;
        for exchange in [&outside, &inside] {
            exchange.ask().expect_err("the Service is gone");
        }
    }
    Ok(())
}
