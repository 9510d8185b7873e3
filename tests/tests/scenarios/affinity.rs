//! `sessionAffinity: ClientIP`: a client keeps its backend.

use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};
use svc_lb::compile::Protocol;
use svc_lb_tests::{
    Host, Rig, Service, SocketLb, Xdp,
    plan::KINDS,
    wait::{SOON, until},
    with_and_without_xdp,
};

with_and_without_xdp!(a_client_outside_keeps_its_backend_while_that_lives);

/// A Service whose clients keep their backends for so many seconds.
fn sticky(seconds: u32) -> Service {
    Service::number(1)
        .with("sessionAffinity: ClientIP")
        .with(&format!("sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {seconds}}}}}"))
}

/// The one backend that answers a client, however often it asks.
fn the_one(client: &Host, protocol: Protocol, target: SocketAddr) -> Result<String> {
    let tally = client.dial(protocol, target).times(6)?;
    ensure!(tally.0.len() == 1, "{} of {target}: {tally}", client.name());
    Ok(tally.0.into_keys().next().unwrap_or_default())
}

fn a_client_outside_keeps_its_backend_while_that_lives(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let hosts = [rig.pod("one")?, rig.remote_pod("two")?, rig.pod("three")?, rig.remote_pod("four")?];
    let [one, two, three, four] = &hosts;
    let service = sticky(3600);
    for (family, protocol) in KINDS {
        rig.apply(&[&service.behind([one, two])])?;
        let target = rig.node_port(&service, family);
        let kept = the_one(rig.client(), protocol, target)?;
        // More endpoints, and another order.
        rig.apply(&[&service.behind([four, three, two, one])])?;
        assert_eq!(the_one(rig.client(), protocol, target)?, kept, "{protocol} {family}");
        // One that is about to go takes nobody new, and neither does one that is gone.
        let others = hosts.iter().filter(|host| host.name() != kept);
        let leaving = hosts.iter().find(|host| host.name() == kept).expect("a host");
        rig.apply(&[&service.behind(others.clone()).and_terminating(leaving)])?;
        let next = the_one(rig.client(), protocol, target)?;
        assert_ne!(next, kept, "{protocol} {family}");
        rig.apply(&[&service.behind(others.filter(|host| host.name() != next))])?;
        assert!(![kept, next].contains(&the_one(rig.client(), protocol, target)?), "{protocol} {family}");
    }
    Ok(())
}

#[test]
fn a_client_has_one_backend_by_all_frontends_and_over_a_restart() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let (pod, member) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?);
    let (one, two, three) = (rig.pod("one")?, rig.remote_pod("two")?, rig.pod("three")?);
    let service = sticky(3600).behind([&one, &two, &three]);
    rig.apply(&[&service])?;
    let mut kept = Vec::new();
    for (family, protocol) in KINDS {
        for client in [&pod, &member, rig.node()] {
            let by_cluster_ip = the_one(client, protocol, service.cluster_ip(family))?;
            let by_node_port = the_one(client, protocol, rig.node_port(&service, family))?;
            assert_eq!(by_cluster_ip, by_node_port, "{protocol} {family}");
            kept.push((client, protocol, service.cluster_ip(family), by_cluster_ip));
        }
    }
    let backends = kept.iter().map(|(.., backend)| backend);
    assert_eq!(backends.collect::<BTreeSet<_>>().len(), 3, "clients are spread");
    rig.stop_agent(nix::sys::signal::Signal::SIGKILL)?;
    rig.start_agent()?;
    for (client, protocol, target, backend) in kept {
        assert_eq!(the_one(client, protocol, target)?, backend, "{target}");
    }
    Ok(())
}

#[test]
fn a_client_keeps_its_backend_while_it_comes_back_in_time() -> Result<()> {
    const TIMEOUT: u32 = 3;
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let pod = rig.pod_outside_the_cgroup("pod")?;
    let (one, two, three) = (rig.pod("one")?, rig.pod("two")?, rig.pod("three")?);
    let service = sticky(TIMEOUT).behind([&one, &two, &three]);
    rig.apply(&[&service])?;
    let mut kept = Vec::new();
    for (family, protocol) in KINDS {
        for client in [&pod, rig.node()] {
            let dial = client.dial(protocol, service.cluster_ip(family));
            let backend = dial.ask()?.by;
            kept.push((dial, backend));
        }
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2 * u64::from(TIMEOUT)) {
        for (dial, backend) in &kept {
            assert_eq!(dial.ask()?.by, *backend, "{dial:?}");
        }
    }
    // Whoever is away for longer gets the next one.
    until("other backends", SOON * 4, || {
        until("a long silence", SOON, || Ok((silence(&rig)? > u64::from(TIMEOUT)).then_some(())))?;
        for (dial, backend) in std::mem::take(&mut kept) {
            if dial.ask()?.by == backend {
                kept.push((dial, backend));
            }
        }
        Ok(kept.is_empty().then_some(()))
    })
}

/// For how many seconds no client has opened a connection.
fn silence(rig: &Rig) -> Result<u64> {
    let affinity = rig.json(&["get", "affinity"])?;
    let ages = affinity.as_array().context("no list")?.iter().map(|it| it["age"].as_u64());
    ages.min().flatten().context("no clients")
}

#[test]
fn a_client_does_not_get_what_has_the_number_of_its_old_backend_now() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, one, two, stranger) = (rig.pod("pod")?, rig.pod("one")?, rig.pod("two")?, rig.pod("stranger")?);
    let service = sticky(3600).behind([&one]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        assert_eq!(the_one(&pod, protocol, service.cluster_ip(family))?, "one");
    }
    let old = numbers(&rig, &service)?;
    let (service, other) = (service.behind([&two]), Service::number(2).behind([&stranger]));
    until("its backends get the old numbers", SOON, || {
        rig.apply(&[&service])?;
        rig.apply(&[&service, &other])?;
        Ok((numbers(&rig, &other)? == old).then_some(()))
    })?;
    for (family, protocol) in KINDS {
        assert_eq!(the_one(&pod, protocol, service.cluster_ip(family))?, "two", "{protocol} {family}");
    }
    Ok(())
}

/// The families and numbers of a Service's backends in the maps.
fn numbers(rig: &Rig, service: &Service) -> Result<BTreeSet<(String, u64)>> {
    let services = rig.json(&["get", "services"])?;
    let ports = services.as_array().context("no list")?.iter().filter(|it| it["name"] == service.name());
    let mut numbers = BTreeSet::new();
    for port in ports {
        for backend in port["backends"].as_array().context("no backends")? {
            let number = backend["index"].as_u64().context("no index")?;
            numbers.insert((port["family"].to_string(), number));
        }
    }
    Ok(numbers)
}
