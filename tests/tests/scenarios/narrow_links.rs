//! A way that takes less than its ends know: the error that says so reaches the sender, and the transfer
//! goes on.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    frame::verify_checksums,
    host::INTERFACE,
    icmp::{IcmpError, TOO_LONG},
    links,
    plan::{FAMILIES, POD_GATEWAYS, everything},
    pods::veth,
    wire::Sees,
    with_and_without_xdp,
};

with_and_without_xdp!(
    a_client_outside_reaches_a_local_backend_behind_a_narrow_link,
    a_client_outside_reaches_a_remote_backend_behind_a_narrow_link,
    a_pod_reaches_backends_behind_a_narrow_link,
);

/// The least that IPv6 allows.
const NARROW: u32 = 1280;
/// Bytes moved each way: many segments.
const AMOUNT: usize = 1_000_001;

fn a_client_outside_reaches_a_local_backend_behind_a_narrow_link(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.pod("backend")?;
    reaches_by_node_port(&rig, &backend, rig.node())
}

fn a_client_outside_reaches_a_remote_backend_behind_a_narrow_link(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.remote_pod("backend")?;
    reaches_by_node_port(&rig, &backend, &rig.network().node2)
}

fn reaches_by_node_port(rig: &Rig, backend: &Host, its_node: &Host) -> Result<()> {
    narrow(its_node, backend)?;
    let service = Service::number(1).behind([backend]);
    rig.apply(&[&service])?;
    let targets = FAMILIES.map(|family| rig.node_port(&service, family));
    learns(rig.client(), targets, its_node)
}

fn a_pod_reaches_backends_behind_a_narrow_link(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    // What a host has learnt, it keeps for an address: each backend has a ClusterIP of its own.
    let ways = [(1, &local, rig.node()), (2, &remote, &rig.network().node2)];
    let services = ways.map(|(number, backend, _)| Service::number(number).behind([backend]));
    rig.apply(&services.each_ref())?;
    for ((_, backend, its_node), service) in ways.into_iter().zip(&services) {
        narrow(its_node, backend)?;
        learns(&pod, FAMILIES.map(|family| service.cluster_ip(family)), its_node)?;
    }
    Ok(())
}

/// Makes the link to a pod narrow. The pod sends nothing longer, but its peers do not learn so from it.
fn narrow(node: &Host, pod: &Host) -> Result<()> {
    links::configure(node.namespace(), async |links| links.mtu(&veth(pod.name()), NARROW).await)?;
    links::configure(pod.namespace(), async |links| {
        for everything in everything() {
            let gateway = POD_GATEWAYS.of(Family::of(everything.addr()));
            links.narrow_route(everything, INTERFACE, gateway, NARROW).await?;
        }
        Ok(())
    })
}

/// Data goes both ways, after the router has told the client, in words that it understands.
fn learns(client: &Host, targets: [SocketAddr; 2], router: &Host) -> Result<()> {
    for (target, kind) in targets.into_iter().zip(TOO_LONG) {
        let wire = client.wire(Sees::All)?;
        let mut connection = client.tcp(target).connect()?;
        connection.upload(AMOUNT).with_context(|| format!("to {target}"))?;
        connection.download(AMOUNT).with_context(|| format!("from {target}"))?;
        let local = connection.local()?;
        let frames = wire.drain()?;
        let errors: Vec<_> =
            frames.iter().filter_map(|frame| IcmpError::read(frame).map(|error| (frame, error))).collect();
        assert_ne!(errors.len(), 0, "the way to {target} was not narrow");
        for (frame, error) in errors {
            verify_checksums(frame)?;
            let source = router.address(Family::of(target.ip()));
            assert_eq!((error.source, error.destination, error.kind), (source, local.ip(), kind));
            assert_eq!((error.quoted_source, error.quoted_destination), (local, target));
        }
    }
    Ok(())
}
