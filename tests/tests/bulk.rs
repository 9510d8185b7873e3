//! A hundred megabytes each way by every path: what arrives is what was sent, and no packet came with
//! a wrong checksum.

use anyhow::Result;
use std::net::SocketAddr;
use svc_lb_common::counters::Program::{
    self, TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress, XdpUplink,
};
use svc_lb_tests::{Host, Rig, Service, Xdp, manifest::TARGET_PORT, plan::FAMILIES, rig::Builder};

/// Not a multiple of any segment's size, and odd.
const AMOUNT: usize = 100_000_001;

#[test]
fn from_outside_with_native_xdp() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Native).start()?;
    from_outside(&rig, XdpUplink)
}

#[test]
fn from_outside_with_tc_alone() -> Result<()> {
    let rig = Rig::routed().start()?;
    from_outside(&rig, TcUplinkIngress)
}

#[test]
fn from_outside_with_tc_alone_and_offloads() -> Result<()> {
    let rig = Rig::routed().with_offloads().start()?;
    from_outside(&rig, TcUplinkIngress)
}

#[test]
fn from_a_pod_whose_checksums_and_segments_the_node_finishes() -> Result<()> {
    from_a_pod(Rig::routed())
}

#[test]
fn from_a_pod_on_a_node_with_native_xdp() -> Result<()> {
    from_a_pod(Rig::routed().xdp(Xdp::Native))
}

#[test]
fn from_a_pod_whose_checksums_and_segments_nobody_finishes() -> Result<()> {
    from_a_pod(Rig::routed().with_offloads())
}

fn from_outside(rig: &Rig, finisher_of_remote: Program) -> Result<()> {
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let paths =
        [(&local, TcUplinkIngress, TcUplinkEgress), (&remote, finisher_of_remote, finisher_of_remote)];
    for (backend, forwarder, replier) in paths {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        let targets = FAMILIES.map(|family| rig.node_port(&service, family));
        moves(rig, rig.client(), &targets, forwarder, replier)?;
    }
    assert_eq!(rig.losses(&[&local, &remote])?, [] as [String; 0]);
    Ok(())
}

fn from_a_pod(rig: Builder) -> Result<()> {
    let rig = rig.start()?;
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    rig.node().serve(TARGET_PORT)?;
    for backend in [&local, &remote, rig.node(), &pod] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        let replier = if backend.name() == pod.name() { TcPodIngress } else { TcPodEgress };
        let targets = FAMILIES.map(|family| service.cluster_ip(family));
        moves(&rig, &pod, &targets, TcPodIngress, replier)?;
    }
    assert_eq!(rig.losses(&[&pod, &local, &remote])?, [] as [String; 0]);
    Ok(())
}

/// Moves the amount each way to each target, and checks who did the work.
fn moves(
    rig: &Rig,
    client: &Host,
    targets: &[SocketAddr],
    forwarder: Program,
    replier: Program,
) -> Result<()> {
    let work = rig.work_of(|| {
        for &target in targets {
            let mut connection = client.tcp(target).connect()?;
            connection.upload(AMOUNT)?;
            connection.download(AMOUNT)?;
        }
        Ok(())
    })?;
    assert_eq!((work.forwarded_by(), work.replied_by()), (vec![forwarder], vec![replier]));
    assert_eq!(work.all_drops(), 0);
    Ok(())
}
