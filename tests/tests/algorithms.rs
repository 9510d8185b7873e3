//! How a new connection finds its backend: by the annotation `svc-lb.io/algorithm`, and by weights.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeMap,
    io::ErrorKind::{ConnectionRefused, ConnectionReset},
    net::SocketAddr,
};
use svc_lb::compile::{Family, Protocol};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb,
    conversation::{Connection, Standing},
    plan::{FAMILIES, KINDS},
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
        let clients = everyone(&rig, &pod, &service, family);
        rig.apply(&[&service.behind([&full])])?;
        let begin = |client: &Host, target| Standing::begin(client, Protocol::Tcp, target);
        let mut standing = Vec::new();
        for (client, target) in clients.into_iter().cycle().take(30) {
            standing.push(begin(client, target)?);
        }
        // One in four pairs of slots is twice the full one's: it takes some sixty to fill the other.
        rig.apply(&[&service.behind([&full, &empty])])?;
        for (client, target) in clients.into_iter().cycle().take(150) {
            standing.push(begin(client, target)?);
        }
        let counts = by_backend(&standing);
        ensure!(counts.values().all(|count| (80..=100).contains(count)), "{family}: {counts:?}");
        // What is closed counts no more: the other is the full one now.
        standing.retain(|connection| connection.backend() == "empty");
        let open = standing.len();
        for (client, target) in clients.into_iter().cycle().take(60) {
            standing.push(begin(client, target)?);
        }
        let new = by_backend(&standing[open..]);
        // 45 on average: 15 less are as likely as one in a hundred thousand.
        ensure!(new.get("full").is_some_and(|&count| count > 30), "{family}: {new:?}");
    }
    Ok(())
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
