//! The file changes, interfaces come, the agent goes: the traffic goes on.

use anyhow::Result;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Rig, Service, SocketLb, Xdp,
    conversation::Standing,
    dial::Dial,
    load,
    manifest::TARGET_PORT,
    plan::{FAMILIES, KINDS},
    wait::{SOON, until},
    with_and_without_socket_lb, with_and_without_xdp,
};

with_and_without_xdp!(
    five_hundred_rewrites_under_load_lose_no_connection_and_mislead_none,
    an_agent_that_is_stopped_or_killed_and_started_again_loses_nothing,
    connections_outlive_the_agent,
);

/// A client for each kind of traffic to a Service: from a pod, and from outside.
fn clients<'a>(rig: &'a Rig, pod: &'a Host, service: &Service) -> Vec<Dial<'a>> {
    let of = |(family, protocol)| {
        let outside = rig.client().dial(protocol, rig.node_port(service, family));
        [outside, pod.dial(protocol, service.cluster_ip(family))]
    };
    KINDS.into_iter().flat_map(of).collect()
}

fn five_hundred_rewrites_under_load_lose_no_connection_and_mislead_none(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    let (a, b) = (rig.pod("a-local")?, rig.remote_pod("a-remote")?);
    let (c, d) = (rig.pod("b-local")?, rig.remote_pod("b-remote")?);
    let (first, second) = (Service::number(1), Service::number(2));
    let states = [
        [first.behind([&a, &b]), second.behind([&c, &d])],
        [first.behind([&b, &a]), second.behind([&d])],
        [first.behind([&a]), second.behind([&c])],
        [first.behind([&b]), second.behind([&d, &c])],
    ];
    rig.apply(&states[0].each_ref())?;
    let clients = [clients(&rig, &pod, &first), clients(&rig, &pod, &second)].concat();
    let tallies = load::during(&clients, |progress| {
        for n in 1..=500 {
            rig.write(&states[n % states.len()].each_ref())?;
            progress.await_more(8)?;
        }
        rig.apply(&states[0].each_ref())
    })?;
    let (of_first, of_second) = tallies.split_at(clients.len() / 2);
    for (tallies, prefix) in [(of_first, "a-"), (of_second, "b-")] {
        for tally in tallies {
            assert!(tally.0.keys().all(|name| name.starts_with(prefix)), "a stray answer: {tally}");
            assert_eq!(tally.0.len(), 2, "both its backends answered: {tally}");
        }
    }
    assert_eq!(rig.counters()?.all_drops(), 0);
    Ok(())
}

fn an_agent_that_is_stopped_or_killed_and_started_again_loses_nothing(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    let backends = [rig.pod("local")?, rig.remote_pod("remote")?];
    let service = Service::number(1).behind(&backends);
    rig.apply(&[&service])?;
    let served = rig.served()?;
    load::during(&clients(&rig, &pod, &service), |progress| {
        for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
            rig.stop_agent(signal)?;
            progress.await_more(200)?;
            rig.start_agent()?;
            progress.await_more(200)?;
        }
        Ok(())
    })?;
    assert_eq!(rig.served()?, served);
    assert_eq!(rig.counters()?.all_drops(), 0);
    Ok(())
}

fn connections_outlive_the_agent(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).socket_lb(SocketLb::On).start()?;
    let (pod, member) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?);
    let backends = [rig.pod("local")?, rig.remote_pod("remote")?];
    let service = Service::number(1).behind(&backends);
    rig.apply(&[&service])?;
    let mut standing = Vec::new();
    for (family, protocol) in KINDS {
        for _ in &backends {
            standing.push(Standing::begin(rig.client(), protocol, rig.node_port(&service, family))?);
            for client in [&pod, &member, rig.node()] {
                standing.push(Standing::begin(client, protocol, service.cluster_ip(family))?);
            }
        }
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        rig.stop_agent(signal)?;
        standing.iter_mut().try_for_each(Standing::go_on)?;
        rig.start_agent()?;
        standing.iter_mut().try_for_each(Standing::go_on)?;
    }
    // Round robin goes on where it was, and so do the connections when the backend's list changes.
    rig.apply(&[&service.behind(&backends[..1])])?;
    standing.retain(|flow| matches!(flow, Standing::Tcp(_)) || flow.backend() == "local");
    standing.iter_mut().try_for_each(Standing::go_on)?;
    Ok(())
}

/// What the agent promises for an edit and for a new interface.
const PROMISED: Duration = Duration::from_millis(100);

/// The middle one of some times: the machine may be busy with something else now and then.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn a_pod_that_appears_is_served_within_a_hundred_milliseconds() -> Result<()> {
    let rig = Rig::routed().start()?;
    let backend = rig.pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let mut times = Vec::new();
    for number in 0..9 {
        let pod = rig.network().pod(&format!("pod-{number}"))?;
        let appeared = Instant::now();
        let dial = pod.udp(service.cluster_ip(Family::V4)).patience(Duration::from_millis(10));
        until("the new pod is served", SOON, || Ok(dial.ask().ok()))?;
        times.push(appeared.elapsed());
    }
    assert!(median(times.clone()) < PROMISED, "{times:?}");
    Ok(())
}

with_and_without_socket_lb!(a_pod_that_is_made_anew_under_the_same_name_is_served);

fn a_pod_that_is_made_anew_under_the_same_name_is_served(socket_lb: SocketLb) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).start()?;
    let backend = rig.pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    for _ in 0..3 {
        // With the pod's namespace its veth pair goes too.
        let pod = rig.pod("pod")?;
        for (family, protocol) in KINDS {
            assert_eq!(pod.dial(protocol, service.cluster_ip(family)).ask()?.by, "backend");
        }
        rig.remove_pod(pod)?;
    }
    Ok(())
}

#[test]
fn an_edit_is_in_force_within_a_hundred_milliseconds() -> Result<()> {
    let rig = Rig::routed().start()?;
    let backends = [rig.pod("one")?, rig.pod("two")?];
    let service = Service::number(1);
    for family in FAMILIES {
        rig.apply(&[&service.behind(&backends[..1])])?;
        let target = rig.node_port(&service, family);
        let mut times = Vec::new();
        for n in 1..10 {
            let backend = &backends[n % 2];
            rig.write(&[&service.behind([backend])])?;
            let written = Instant::now();
            until("the other backend answers", SOON, || {
                let answer = rig.client().udp(target).ask()?;
                Ok((answer.by == backend.name()).then_some(()))
            })?;
            times.push(written.elapsed());
        }
        assert!(median(times.clone()) < PROMISED, "{times:?}");
    }
    Ok(())
}

#[test]
fn cleanup_leaves_the_node_as_it_was() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Native).start()?;
    let pod = rig.pod("pod")?;
    let service = Service::number(1).behind([&pod]);
    rig.apply(&[&service])?;
    rig.stop_agent(Signal::SIGTERM)?;
    assert_eq!(rig.client().tcp(rig.node_port(&service, Family::V4)).ask()?.by, "pod");
    let output = rig.svc_lb(&["cleanup"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for family in FAMILIES {
        let error = rig.client().tcp(rig.node_port(&service, family)).ask().expect_err("nothing is served");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(rig.client().tcp((pod.address(family), TARGET_PORT).into()).ask()?.by, "pod");
    }
    assert!(!rig.is_pinned());
    let reserved = rig.node().namespace().sysctl("ipv4/ip_local_reserved_ports")?;
    assert_eq!(reserved, "", "ports are still reserved");
    Ok(())
}
