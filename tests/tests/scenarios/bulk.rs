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
    from_outside(Xdp::Native, Rig::routed(), XdpUplink)
}

#[test]
fn from_outside_with_tc_alone() -> Result<()> {
    from_outside(Xdp::Off, Rig::routed(), TcUplinkIngress)
}

#[test]
fn from_outside_with_tc_alone_and_offloads() -> Result<()> {
    from_outside(Xdp::Off, Rig::routed().with_offloads(), TcUplinkIngress)
}

#[test]
fn from_a_pod_whose_checksums_and_segments_the_node_finishes() -> Result<()> {
    from_a_pod(Xdp::Off, Rig::routed())
}

#[test]
fn from_a_pod_on_a_node_with_native_xdp() -> Result<()> {
    from_a_pod(Xdp::Native, Rig::routed())
}

#[test]
fn from_a_pod_whose_checksums_and_segments_nobody_finishes() -> Result<()> {
    from_a_pod(Xdp::Off, Rig::routed().with_offloads())
}

fn from_outside(xdp: Xdp, rig: Builder, finisher_of_remote: Program) -> Result<()> {
    let rig = rig.xdp(xdp).start()?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let paths =
        [(&local, TcUplinkIngress, TcUplinkEgress), (&remote, finisher_of_remote, finisher_of_remote)];
    for (backend, forwarder, replier) in paths {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        let targets = FAMILIES.map(|family| rig.node_port(&service, family));
        moves(&rig, rig.client(), &targets, forwarder, replier)?;
    }
    nothing_is_lost(xdp, &rig, &[&local, &remote])
}

fn from_a_pod(xdp: Xdp, rig: Builder) -> Result<()> {
    let rig = rig.xdp(xdp).start()?;
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    rig.node().serve(TARGET_PORT)?;
    for backend in [&local, &remote, rig.node(), &pod] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        let replier = if backend.name() == pod.name() { TcPodIngress } else { TcPodEgress };
        let targets = FAMILIES.map(|family| service.cluster_ip(family));
        moves(&rig, &pod, &targets, TcPodIngress, replier)?;
    }
    nothing_is_lost(xdp, &rig, &[&pod, &local, &remote])
}

/// No packet came with a wrong checksum, and none was lost at an interface. But nothing holds back what
/// goes to a veth with XDP: when its ring is full, which is a matter of who has the processor, packets are
/// lost there as on a wire, and TCP sends them again.
fn nothing_is_lost(xdp: Xdp, rig: &Rig, pods: &[&Host]) -> Result<()> {
    let mut losses = rig.losses(pods)?;
    if xdp == Xdp::Native {
        losses.retain(|loss| !loss.contains("received and dropped"));
    }
    assert_eq!(losses, [] as [String; 0]);
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
