//! A VXLAN between two nodes, laid out as flannel does it: each node has an address of its own pods in
//! it, and knows the other end without asking.

use crate::{
    host::{self, Host},
    links,
    plan::{Addresses, FAMILIES, pod_cidr},
};
use anyhow::Result;
use svc_lb::compile::Family;

/// The interface of a node in the VXLAN.
pub const INTERFACE: &str = "flannel.1";

/// What a packet in the VXLAN, and so a packet of a pod, may measure: 50 bytes go to the headers
/// around it.
pub const MTU: u32 = 1450;

/// The network's number in the VXLAN header, and the UDP port, as flannel has them.
const VNI: u32 = 1;
const PORT: u16 = 8472;

/// The addresses of a node in the VXLAN.
pub const fn addresses(node: u8) -> Addresses {
    Addresses::pod(node, 0)
}

/// Joins two nodes, and routes the pods of each that way.
pub fn join(nodes: [&mut Host; 2]) -> Result<()> {
    let [first, second] = nodes;
    let (first_mac, second_mac) = (enter(first, 0)?, enter(second, 1)?);
    lead_to(first, 1, second, second_mac)?;
    lead_to(second, 0, first, first_mac)
}

/// Makes the interface of a node; returns its link-layer address.
fn enter(node: &mut Host, number: u8) -> Result<[u8; 6]> {
    node.also_has(addresses(number));
    links::configure(node.namespace(), async |links| {
        links.vxlan(INTERFACE, VNI, PORT, host::INTERFACE).await?;
        links.mtu(INTERFACE, MTU).await?;
        links.addresses(INTERFACE, addresses(number).with_prefixes(32, 128)).await?;
        links.up(INTERFACE).await?;
        links.mac(INTERFACE).await
    })
}

/// Tells a node of the other end, and routes the pods there that way.
fn lead_to(node: &Host, other: u8, other_node: &Host, mac: [u8; 6]) -> Result<()> {
    links::configure(node.namespace(), async |links| {
        links.forwarding(INTERFACE, mac, other_node.address(Family::V4)).await?;
        for (family, pods) in FAMILIES.into_iter().zip(pod_cidr(other)) {
            let gateway = addresses(other).of(family);
            links.neighbour(INTERFACE, gateway, mac).await?;
            links.route(pods.trunc(), INTERFACE, Some(gateway)).await?;
        }
        Ok(())
    })
}
