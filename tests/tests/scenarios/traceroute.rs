//! Traceroute through a frontend shows every router on the way to a backend.

use anyhow::Result;
use std::net::SocketAddr;
use svc_lb::compile::{Family, Protocol};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    plan::FAMILIES,
    traceroute::{Hop, traceroute},
    with_and_without_xdp,
};

with_and_without_xdp!(from_outside_to_a_node_port, from_a_pod_to_a_cluster_ip);

fn from_outside_to_a_node_port(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let (node, node2) = (rig.node(), &rig.network().node2);
    for (backend, routers) in [(&local, vec![node]), (&remote, vec![node, node2])] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        let targets = FAMILIES.map(|family| rig.node_port(&service, family));
        shows_the_hops(rig.client(), targets, &routers)?;
    }
    Ok(())
}

fn from_a_pod_to_a_cluster_ip(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    let (node, node2) = (rig.node(), &rig.network().node2);
    for (backend, routers) in [(&local, vec![node]), (&remote, vec![node, node2]), (&pod, vec![node])] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        let targets = FAMILIES.map(|family| service.cluster_ip(family));
        shows_the_hops(&pod, targets, &routers)?;
    }
    Ok(())
}

/// Each router by its own address, then the backend, for both protocols.
fn shows_the_hops(client: &Host, targets: [SocketAddr; 2], routers: &[&Host]) -> Result<()> {
    for target in targets {
        let family = Family::of(target.ip());
        let mut expected: Vec<_> = routers.iter().map(|router| Hop::Router(router.address(family))).collect();
        expected.push(Hop::Arrived);
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            assert_eq!(traceroute(client.namespace(), protocol, target)?, expected, "{protocol} to {target}");
        }
    }
    Ok(())
}
