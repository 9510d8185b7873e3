//! `sessionAffinity: ClientIP`: a client keeps its backend.

use anyhow::{Result, ensure};
use std::net::SocketAddr;
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
    assert_eq!(backends.collect::<std::collections::BTreeSet<_>>().len(), 3, "clients are spread");
    rig.stop_agent(nix::sys::signal::Signal::SIGKILL)?;
    rig.start_agent()?;
    for (client, protocol, target, backend) in kept {
        assert_eq!(the_one(client, protocol, target)?, backend, "{target}");
    }
    Ok(())
}

#[test]
fn a_client_that_was_long_away_chooses_anew() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let pod = rig.pod_outside_the_cgroup("pod")?;
    let (one, two) = (rig.pod("one")?, rig.pod("two")?);
    let service = sticky(1).behind([&one, &two]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for client in [&pod, rig.node()] {
            let target = service.cluster_ip(family);
            let kept = the_one(client, protocol, target)?;
            // Each question keeps the backend for longer: it must be silent for a while before the next.
            until("another backend", SOON * 4, || {
                std::thread::sleep(std::time::Duration::from_millis(2100));
                Ok((client.dial(protocol, target).ask()?.by != kept).then_some(()))
            })?;
        }
    }
    Ok(())
}
