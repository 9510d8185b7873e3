//! How a new connection finds its backend: by the annotation `svc-lb.io/algorithm`, and by weights.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::{
    collections::BTreeMap,
    io::ErrorKind::{ConnectionRefused, ConnectionReset},
    net::SocketAddr,
};
use svc_lb::compile::{Family, Protocol};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb,
    conversation::{Connection, Standing},
    manifest::TARGET_PORT,
    plan::{FAMILIES, KINDS},
    wait::{SOON, until},
};

/// A Service with an algorithm.
fn balanced_by(algorithm: &str) -> Service {
    Service::number(1).annotated("svc-lb.io/algorithm", algorithm)
}

/// Clients of every kind, each with a frontend that is for it: one outside, a pod whose packets are
/// translated, and the node, whose sockets are balanced.
fn everyone<'a>(
    rig: &'a Rig,
    pod: &'a Host,
    service: &Service,
    family: Family,
) -> [(&'a Host, SocketAddr); 3] {
    let (node_port, cluster_ip) = (rig.node_port(service, family), service.cluster_ip(family));
    [(rig.client(), node_port), (pod, cluster_ip), (rig.node(), cluster_ip)]
}

#[test]
fn random_reaches_every_backend_in_no_order() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let pod = rig.pod_outside_the_cgroup("pod")?;
    let (one, two, three) = (rig.pod("one")?, rig.remote_pod("two")?, rig.pod("three")?);
    let service = balanced_by("random").behind([&one, &two, &three]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for (client, target) in everyone(&rig, &pod, &service, family) {
            // One backend has 50 of 150 on average: 30 less are as likely as one in ten million.
            let tally = client.dial(protocol, target).times(150)?;
            ensure!(tally.0.len() == 3 && tally.0.values().all(|&count| count > 20), "{target}: {tally}");
        }
    }
    Ok(())
}

#[test]
fn weights_are_shares() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let pod = rig.pod_outside_the_cgroup("pod")?;
    let (heavy, light) = (rig.pod("heavy")?, rig.remote_pod("light")?);
    let service = Service::number(1).behind([&heavy]).weighing(3).and(&light, 8081);
    light.serve(8081)?;
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for (client, target) in everyone(&rig, &pod, &service, family) {
            let tally = client.dial(protocol, target).times(40)?;
            assert_eq!(tally, [("heavy", 30), ("light", 10)], "{target}");
        }
    }
    Ok(())
}

/// How many connections each backend has.
fn by_backend(connections: &[Standing]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for connection in connections {
        *counts.entry(connection.backend().to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn least_connections_fills_those_that_have_fewest() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let pod = rig.pod_outside_the_cgroup("pod")?;
    let (full, empty) = (rig.pod("full")?, rig.pod("empty")?);
    let service = balanced_by("least-connections");
    for family in FAMILIES {
        let cluster_ip = service.cluster_ip(family);
        let by_packets = vec![(rig.client(), rig.node_port(&service, family)), (&pod, cluster_ip)];
        for clients in [by_packets, vec![(rig.node(), cluster_ip)]] {
            let begin = |count| {
                let clients = clients.iter().cycle().take(count);
                clients.map(|(client, target)| Standing::begin(client, Protocol::Tcp, *target))
            };
            rig.apply(&[&service.behind([&full])])?;
            let mut standing = begin(30).collect::<Result<Vec<_>, _>>()?;
            // Of two slots that are both the full one's, one in four pairs, the full one is taken.
            rig.apply(&[&service.behind([&full, &empty])])?;
            for connection in begin(120) {
                standing.push(connection?);
            }
            let counts = by_backend(&standing);
            ensure!(counts.values().all(|count| (69..=81).contains(count)), "{family}: {counts:?}");
            // Nothing of this is to count for the next clients.
            rig.apply(&[&service])?;
        }
    }
    Ok(())
}

#[test]
fn a_connection_counts_until_it_ends() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let pod = rig.pod_outside_the_cgroup("pod")?;
    let (member, backend) = (rig.pod("member")?, rig.pod("backend")?);
    let service = balanced_by("least-connections").behind([&backend]);
    rig.apply(&[&service])?;
    for family in FAMILIES {
        // A socket of UDP that turns to somebody else speaks to the backend no more.
        let before = open_connections(&rig, family, Protocol::Udp)?;
        let exchange = member.udp(service.cluster_ip(family)).exchange()?;
        assert_eq!(open_connections(&rig, family, Protocol::Udp)?, before + 1);
        for target in [service.cluster_ip(family), (backend.address(family), TARGET_PORT).into()] {
            exchange.turn_to(target)?;
            let turned_away = i64::from(target != service.cluster_ip(family));
            assert_eq!(open_connections(&rig, family, Protocol::Udp)?, before + 1 - turned_away, "{target}");
        }
        drop(exchange);
        assert_eq!(open_connections(&rig, family, Protocol::Udp)?, before);
    }
    for (family, protocol) in KINDS {
        let cluster_ip = service.cluster_ip(family);
        let open = || open_connections(&rig, family, protocol);
        for (client, target, by_socket) in [
            (&member, cluster_ip, true),
            (rig.node(), cluster_ip, true),
            (rig.client(), rig.node_port(&service, family), false),
            (&pod, cluster_ip, false),
        ] {
            let before = open()?;
            let begin = || Standing::begin(client, protocol, target);
            let standing = [begin()?, begin()?];
            // A flow that opens while a sweep comes by is missing until the next one.
            let what = format!("two more of {} {protocol} {family} are open", client.name());
            until(&what, SOON * 2, || Ok((open()? == before + 2).then_some(())))?;
            drop(standing);
            // Of UDP nobody but a socket tells the end.
            if protocol == Protocol::Tcp || by_socket {
                until("nothing is open", SOON / 2, || Ok((open()? == before).then_some(())))?;
            }
        }
    }
    // A socket that was refused may try again, and is still one.
    let service = balanced_by("least-connections").and(&backend, TARGET_PORT + 1);
    rig.apply(&[&service])?;
    for family in FAMILIES {
        let target = service.cluster_ip(family);
        let socket = || Socket::new(Domain::for_address(target), Type::STREAM, None);
        let socket = member.namespace().enter(socket)?;
        for _ in 0..2 {
            let error = socket.connect(&target.into()).expect_err("nobody listens");
            assert_eq!(error.kind(), ConnectionRefused);
        }
        assert_eq!(open_connections(&rig, family, Protocol::Tcp)?, 1);
        drop(socket);
        assert_eq!(open_connections(&rig, family, Protocol::Tcp)?, 0);
    }
    Ok(())
}

/// How many connections the one backend of the only Service has open.
fn open_connections(rig: &Rig, family: Family, protocol: Protocol) -> Result<i64> {
    let services = rig.json(&["get", "services"])?;
    let services = services.as_array().context("no list of services")?;
    let is_meant = |it: &&Value| it["family"] == family.to_string() && it["protocol"] == protocol.to_string();
    let service = services.iter().find(is_meant).context("no such Service")?;
    service["backends"][0]["open_connections"].as_i64().context("no open connections")
}

#[test]
fn with_maglev_a_backend_that_goes_moves_nobody_but_its_own_clients() -> Result<()> {
    let rig = Rig::routed().start()?;
    let hosts = [rig.pod("one")?, rig.pod("two")?, rig.remote_pod("three")?, rig.remote_pod("four")?];
    let service = balanced_by("maglev");
    rig.apply(&[&service.behind(&hosts)])?;
    let backends = |target| -> Result<Vec<String>> {
        let ask = |port| Ok(rig.client().udp(target).from_port(port).ask()?.by);
        (40000..40100).map(ask).collect()
    };
    for family in FAMILIES {
        let target = rig.node_port(&service, family);
        rig.apply(&[&service.behind(&hosts)])?;
        let before = backends(target)?;
        ensure!(hosts.iter().all(|host| before.iter().any(|backend| backend == host.name())), "{before:?}");
        rig.apply(&[&service.behind(&hosts[..3])])?;
        lose_flows(&rig)?;
        let after = backends(target)?;
        let moved = before.iter().zip(&after).filter(|(before, after)| *before != "four" && before != after);
        ensure!(moved.count() <= 10, "before {before:?}, after {after:?}");
    }
    Ok(())
}

#[test]
fn maglev_finds_the_backend_of_a_lost_flow_again_where_only_the_destination_is_translated() -> Result<()> {
    let rig = Rig::routed().start()?;
    let pod = rig.pod("pod")?;
    let (one, two, remote) = (rig.pod("one")?, rig.pod("two")?, rig.remote_pod("remote")?);
    let service = balanced_by("maglev");
    for family in FAMILIES {
        let (node_port, cluster_ip) = (rig.node_port(&service, family), service.cluster_ip(family));
        rig.apply(&[&service.behind([&one, &two])])?;
        let mut kept = Vec::new();
        for _ in 0..8 {
            kept.push(rig.client().tcp(node_port).connect()?);
            kept.push(pod.tcp(cluster_ip).connect()?);
        }
        lose_flows(&rig)?;
        kept.iter_mut().try_for_each(Connection::echo)?;
        // To a remote backend the source is translated too, by a port that only the flow knew.
        rig.apply(&[&service.behind([&remote])])?;
        let (mut by_node, mut by_pod) =
            (rig.client().tcp(node_port).connect()?, pod.tcp(cluster_ip).connect()?);
        lose_flows(&rig)?;
        by_pod.echo()?;
        let error = by_node.echo().expect_err("nobody knows the connection");
        ensure!([ConnectionReset, ConnectionRefused].contains(&error.kind()), "{error}");
    }
    // Another algorithm never balances such packets anew.
    let service = Service::number(1).behind([&one, &two]);
    rig.apply(&[&service])?;
    let mut lost = pod.tcp(service.cluster_ip(FAMILIES[0])).connect()?;
    lose_flows(&rig)?;
    assert_eq!(lost.echo().expect_err("nobody knows the connection").kind(), ConnectionReset);
    Ok(())
}

/// Has the node forget every flow.
fn lose_flows(rig: &Rig) -> Result<()> {
    rig.stop_agent(Signal::SIGTERM)?;
    ensure!(rig.svc_lb(&["cleanup"])?.status.success(), "cleanup fails");
    rig.start_agent()
}
