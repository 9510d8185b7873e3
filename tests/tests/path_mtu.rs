//! A way that takes less than its ends know: the error that says so reaches the sender, and the transfer
//! goes on.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Namespace, Rig, Service, Xdp,
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
    a_client_outside_reaches_backends_behind_a_narrow_link,
    a_pod_reaches_backends_behind_a_narrow_link,
);

/// The least that IPv6 allows.
const NARROW: u32 = 1280;
/// Bytes moved each way: many segments.
const AMOUNT: usize = 1_000_001;

fn a_client_outside_reaches_backends_behind_a_narrow_link(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    for (backend, router) in backends(&rig)? {
        let service = Service::number(1).behind([&backend]);
        rig.apply(&[&service])?;
        let targets = FAMILIES.map(|family| rig.node_port(&service, family));
        learns(rig.client(), targets, router)?;
    }
    Ok(())
}

fn a_pod_reaches_backends_behind_a_narrow_link(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    for (backend, router) in backends(&rig)? {
        let service = Service::number(1).behind([&backend]);
        rig.apply(&[&service])?;
        let targets = FAMILIES.map(|family| service.cluster_ip(family));
        learns(&pod, targets, router)?;
    }
    Ok(())
}

/// A backend behind a narrow link on each node, and the node that forwards to it.
fn backends(rig: &Rig) -> Result<[(Host, &Host); 2]> {
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let (node, node2) = (rig.node(), &rig.network().node2);
    narrow(node.namespace(), &local)?;
    narrow(node2.namespace(), &remote)?;
    Ok([(local, node), (remote, node2)])
}

/// Makes the link to a pod narrow. The pod sends nothing longer, but its peers do not learn so from it.
fn narrow(node: &Namespace, pod: &Host) -> Result<()> {
    links::configure(node, async |links| links.mtu(&veth(pod.name()), NARROW).await)?;
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
