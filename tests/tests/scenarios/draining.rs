//! An endpoint that terminates and still serves keeps what it has and gets nothing new.

use anyhow::Result;
use nix::sys::signal::Signal;
use std::{io::ErrorKind::WouldBlock, thread, time::Duration};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    conversation::Standing,
    plan::{FAMILIES, KINDS},
    with_and_without_xdp,
};

with_and_without_xdp!(
    conversations_go_on_until_the_endpoint_is_gone_and_new_ones_get_the_others,
    without_ready_endpoints_new_conversations_get_those_that_terminate,
    the_client_of_an_endpoint_that_terminates_and_is_silent_is_not_reset,
);

/// Conversations of each kind, so many, from a pod and from outside.
fn converse(rig: &Rig, pod: &Host, service: &Service, count: usize) -> Result<Vec<Standing>> {
    let mut standing = Vec::new();
    for (family, protocol) in KINDS {
        for _ in 0..count {
            standing.push(Standing::begin(rig.client(), protocol, rig.node_port(service, family))?);
            standing.push(Standing::begin(pod, protocol, service.cluster_ip(family))?);
        }
    }
    Ok(standing)
}

/// Asserts that each of these answers every kind of client that comes anew, and nobody else.
fn newcomers_get(rig: &Rig, pod: &Host, service: &Service, names: &[&str]) -> Result<()> {
    for (family, protocol) in KINDS {
        let outside = rig.client().dial(protocol, rig.node_port(service, family));
        for dial in [outside, pod.dial(protocol, service.cluster_ip(family))] {
            let tally = dial.times(2 * names.len())?;
            assert!(tally.0.keys().eq(names) && tally.0.values().all(|&count| count == 2), "{tally}");
        }
    }
    Ok(())
}

fn conversations_go_on_until_the_endpoint_is_gone_and_new_ones_get_the_others(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    let (local, remote, other) = (rig.pod("local")?, rig.remote_pod("remote")?, rig.pod("other")?);
    let service = Service::number(1);
    rig.apply(&[&service.behind([&local, &remote, &other])])?;
    let mut standing = converse(&rig, &pod, &service, 3)?;

    rig.apply(&[&service.behind([&other]).and_terminating(&local).and_terminating(&remote)])?;
    newcomers_get(&rig, &pod, &service, &["other"])?;
    standing.iter_mut().try_for_each(Standing::go_on)?;
    rig.stop_agent(Signal::SIGKILL)?;
    rig.start_agent()?;
    standing.iter_mut().try_for_each(Standing::go_on)?;

    rig.apply(&[&service.behind([&other])])?;
    for conversation in &mut standing {
        match conversation {
            Standing::Tcp(connection) => connection.echo()?,
            Standing::Udp(exchange, _) => assert_eq!(exchange.ask()?.by, "other"),
        }
    }
    Ok(())
}

fn without_ready_endpoints_new_conversations_get_those_that_terminate(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let service = Service::number(1);
    rig.apply(&[&service.behind([]).and_terminating(&local).and_terminating(&remote)])?;
    newcomers_get(&rig, &pod, &service, &["local", "remote"])?;
    let mut standing = converse(&rig, &pod, &service, 2)?;
    rig.apply(&[&service.behind([&remote]).and_terminating(&local)])?;
    standing.iter_mut().try_for_each(Standing::go_on)?;
    newcomers_get(&rig, &pod, &service, &["remote"])
}

fn the_client_of_an_endpoint_that_terminates_and_is_silent_is_not_reset(xdp: Xdp) -> Result<()> {
    // That of a removed one is, by the first packet after ten seconds.
    const PATIENCE: Duration = Duration::from_secs(14);
    let rig = Rig::routed().xdp(xdp).start()?;
    let (goes, stays) = (rig.remote_pod("goes")?, rig.pod("stays")?);
    let service = Service::number(1);
    rig.apply(&[&service.behind([&goes])])?;
    let connect = |family| rig.client().tcp(rig.node_port(&service, family)).patience(PATIENCE).connect();
    let mut connections = FAMILIES.map(connect).into_iter().collect::<Result<Vec<_>, _>>()?;
    rig.apply(&[&service.behind([&stays]).and_terminating(&goes)])?;
    goes.fall_silent()?;
    thread::scope(|scope| {
        for connection in &mut connections {
            scope.spawn(move || {
                let error = connection.echo().expect_err("the backend is silent");
                assert_eq!(error.kind(), WouldBlock, "{error}");
            });
        }
    });
    Ok(())
}
