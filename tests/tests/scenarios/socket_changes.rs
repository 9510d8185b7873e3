//! The manifests change, the agent goes, the cgroup is another, somebody else has a word: sockets are sent to
//! backends all the same, or no more, and those that were go on.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::{io::ErrorKind::PermissionDenied, net::SocketAddr, sync::Arc};
use svc_lb::compile::{Family, Protocol};
use svc_lb_common::counters::Program::{self, SockConnect4, SockConnect6, TcPodIngress};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb,
    cgroup::Cgroup,
    conversation::Standing,
    dial::Dial,
    foreign_connect::{ForeignConnect, Verdict},
    load,
    plan::{FAMILIES, KINDS, mapped},
    wait::{SOON, until},
};

fn start() -> Result<Rig> {
    Rig::routed().socket_lb(SocketLb::On).start()
}

/// The addresses at which a Service is asked for: of both families, and the mapped one.
fn targets(service: &Service) -> [SocketAddr; 3] {
    let [v4, v6] = FAMILIES.map(|family| service.cluster_ip(family));
    [v4, v6, mapped(v4)]
}

/// A client of each kind for the Service, of each family and protocol.
fn callers<'a>(clients: [&'a Host; 2], service: &Service) -> Vec<Dial<'a>> {
    let of = |(family, protocol)| clients.map(|client| client.dial(protocol, service.cluster_ip(family)));
    KINDS.into_iter().flat_map(of).collect()
}

#[test]
fn an_agent_that_is_stopped_or_killed_and_started_again_fails_no_connect() -> Result<()> {
    let rig = start()?;
    let (pod, backends) = (rig.pod("pod")?, [rig.pod("local")?, rig.remote_pod("remote")?]);
    let service = Service::number(1).behind(&backends);
    rig.apply(&[&service])?;
    let work = rig.work_of(|| {
        let callers = callers([&pod, rig.node()], &service);
        load::during(&callers, |progress| {
            for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
                rig.stop_agent(signal)?;
                progress.await_more(200)?;
                rig.start_agent()?;
                progress.await_more(200)?;
            }
            Ok(())
        })
        .map(drop)
    })?;
    assert_eq!(work.forwarded_by(), [SockConnect4, SockConnect6], "no packet was translated");
    Ok(())
}

#[test]
fn five_hundred_rewrites_under_load_fail_no_connect_and_mislead_none() -> Result<()> {
    let rig = start()?;
    let pod = rig.pod("pod")?;
    let backends = [rig.pod("local")?, rig.remote_pod("remote")?];
    let strangers = [rig.pod("stranger")?, rig.remote_pod("far-stranger")?];
    let (service, other) = (Service::number(1), Service::number(2));
    let [local, remote] = &backends;
    let states = [
        [service.behind(&backends), other.behind(&strangers)],
        [service.behind([remote, local]), other.behind(&strangers[..1])],
        [service.behind([local]), other.behind(&strangers[1..])],
        [service.behind([remote]), other.behind(&strangers)],
    ];
    rig.apply(&states[0].each_ref())?;
    // A UDP socket whose backend goes after it has connected must fail.
    let tcp = |dial: &Dial<'_>| dial.protocol() == Protocol::Tcp;
    let callers: Vec<_> = callers([&pod, rig.node()], &service).into_iter().filter(tcp).collect();
    let tallies = load::during(&callers, |progress| {
        for n in 1..=500 {
            rig.write(&states[n % states.len()].each_ref())?;
            progress.await_more(8)?;
        }
        Ok(())
    })?;
    for tally in tallies {
        assert!(tally.0.keys().eq(["local", "remote"]), "{tally}");
    }
    Ok(())
}

/// Which program serves a pod.
fn serves(rig: &Rig, pod: &Host, service: &Service, family: Family) -> Result<Vec<Program>> {
    let work = rig.work_of(|| Ok(pod.tcp(service.cluster_ip(family)).ask().map(drop)?))?;
    Ok(work.forwarded_by())
}

#[test]
fn at_the_next_start_sockets_of_another_cgroup_are_served_or_none() -> Result<()> {
    let rig = start()?;
    let own = Arc::clone(rig.cgroup().context("a rig with a cgroup")?);
    let other = Arc::new(Cgroup::new()?);
    let (pod, moved, backend) = (rig.pod("pod")?, rig.pod_in(Some(&other), "moved")?, rig.pod("backend")?);
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let (by_socket, by_packet) = ([SockConnect4, SockConnect6], [TcPodIngress; 2]);
    let starts = [(Some(&own), by_socket, by_packet), (Some(&other), by_packet, by_socket)];
    let mut standing = Vec::new();
    for (family, protocol) in KINDS {
        for client in [&pod, &moved] {
            standing.push(Standing::begin(client, protocol, service.cluster_ip(family))?);
        }
    }
    for (cgroup, of_pod, of_moved) in starts.into_iter().cycle().take(3).chain([(None, by_packet, by_packet)])
    {
        rig.stop_agent(Signal::SIGTERM)?;
        rig.start_agent_for(cgroup.map(AsRef::as_ref))?;
        for (number, family) in FAMILIES.into_iter().enumerate() {
            let served = [serves(&rig, &pod, &service, family)?, serves(&rig, &moved, &service, family)?];
            assert_eq!(served, [[of_pod[number]], [of_moved[number]]], "{family}");
        }
        standing.iter_mut().try_for_each(Standing::go_on)?;
    }
    assert!(rig.socket_lb()?.cgroup.is_none());
    Ok(())
}

#[test]
fn a_cgroup_that_is_made_anew_is_served_again() -> Result<()> {
    let rig = start()?;
    let cgroup = rig.cgroup().context("a rig with a cgroup")?;
    let backend = rig.pod_outside_the_cgroup("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    assert_eq!(rig.node().tcp(service.cluster_ip(Family::V4)).ask()?.by, "backend");
    cgroup.make_anew()?;
    // Whatever happens to an interface lets the agent look at all that it has attached.
    let pod = rig.pod("pod")?;
    until("the sockets of the new cgroup are balanced", SOON, || {
        Ok((serves(&rig, &pod, &service, Family::V4)? == [SockConnect4]).then_some(()))
    })?;
    assert_eq!(rig.node().tcp(service.cluster_ip(Family::V4)).ask()?.by, "backend");
    assert_eq!(rig.socket_lb()?.reason, "");
    Ok(())
}

#[test]
fn cleanup_leaves_sockets_alone() -> Result<()> {
    let rig = start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let (service, empty) = (Service::number(1).behind([&backend]), Service::number(2));
    rig.apply(&[&service, &empty])?;
    let mut standing = Vec::new();
    for (family, protocol) in KINDS {
        standing.push(Standing::begin(&pod, protocol, service.cluster_ip(family))?);
    }
    rig.stop_agent(Signal::SIGTERM)?;
    assert!(pod.udp(empty.cluster_ip(Family::V4)).exchange().is_err(), "what is pinned is in force");
    let output = rig.svc_lb(&["cleanup"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!rig.is_pinned());
    for target in targets(&empty) {
        for client in [&pod, rig.node()] {
            let exchange = client.udp(target).exchange().context("nobody refuses")?;
            assert_eq!(exchange.peer()?, target);
        }
    }
    standing.iter_mut().try_for_each(Standing::go_on)?;
    Ok(())
}

#[test]
fn a_foreign_program_at_the_cgroup_keeps_its_word() -> Result<()> {
    let rig = start()?;
    let cgroup = Arc::clone(rig.cgroup().context("a rig with a cgroup")?);
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let ask = || pod.tcp(service.cluster_ip(Family::V4)).ask();
    let behind_ours = ForeignConnect::attach(&cgroup, Verdict::Allow)?;
    assert_eq!(ask()?.by, "backend");
    let denying = ForeignConnect::attach(&cgroup, Verdict::Deny)?;
    assert_eq!(ask().expect_err("it was denied").kind(), PermissionDenied);
    // Ours come and go beside it.
    rig.stop_agent(Signal::SIGTERM)?;
    assert!(rig.svc_lb(&["cleanup"])?.status.success());
    assert_eq!(ask().expect_err("it was denied").kind(), PermissionDenied);
    rig.start_agent()?;
    assert_eq!(ask().expect_err("it was denied").kind(), PermissionDenied);
    drop(denying);
    assert_eq!(ask()?.by, "backend");
    assert_eq!(serves(&rig, &pod, &service, Family::V4)?, [SockConnect4]);
    drop(behind_ours);
    assert_eq!(ask()?.by, "backend");
    Ok(())
}
