//! How the pods of a node are joined to it.

use crate::{
    host::{Host, INTERFACE},
    links::{self, Links},
    namespace::Namespace,
    plan::{Addresses, FAMILIES, POD_GATEWAYS, everything},
};
use anyhow::Result;
use std::sync::atomic::{AtomicU8, Ordering};
use svc_lb::compile::Family;

/// The bridge of a node whose pods are ports of one.
pub const BRIDGE: &str = "cni0";

/// The number of the first pod of each node.
const FIRST: u8 = 11;

/// The pods of a node: each has a veth pair.
#[derive(Debug)]
pub struct Pods {
    node: u8,
    mtu: u32,
    bridged: bool,
    next: AtomicU8,
}

impl Pods {
    /// Pods with a route each to the host side of their veth pair, and a made-up gateway.
    pub fn routed(node: u8, mtu: u32) -> Self {
        Self { node, mtu, bridged: false, next: FIRST.into() }
    }

    /// Pods at a bridge of the node, which is their gateway.
    pub fn bridged(node: u8, host: &mut Host, mtu: u32) -> Result<Self> {
        let gateways = bridge_addresses(node);
        links::configure(host.namespace(), async |links| {
            links.bridge(BRIDGE).await?;
            // A bridge that was given its address keeps it when ports come: what the pods know stays right.
            let mac = links.mac(BRIDGE).await?;
            links.set_mac(BRIDGE, mac).await?;
            links.addresses(BRIDGE, gateways.with_prefixes(24, 64)).await
        })?;
        host.also_has(gateways);
        Ok(Self { node, mtu, bridged: true, next: FIRST.into() })
    }

    /// A new pod, named as its server answers.
    pub fn add(&self, node: &Namespace, name: &str) -> Result<Host> {
        let addresses = Addresses::pod(self.node, self.next.fetch_add(1, Ordering::Relaxed));
        let (pod, veth) = (Namespace::of_host(name)?, veth(name));
        links::configure(node, async |links| {
            links.veth(&veth, INTERFACE, &pod).await?;
            links.mtu(&veth, self.mtu).await?;
            links.up(&veth).await
        })?;
        links::configure(&pod, async |links| {
            links.mtu(INTERFACE, self.mtu).await?;
            links.up(INTERFACE).await
        })?;
        if self.bridged {
            join_bridge(node, &veth, &pod, addresses, bridge_addresses(self.node))?;
        } else {
            join_by_routes(node, &veth, &pod, addresses)?;
        }
        Host::new(pod, addresses)
    }
}

/// The host side of a pod's veth pair: named for the end of the pod's name, which is the part that
/// differs, and not longer than the kernel takes.
pub fn veth(pod: &str) -> String {
    format!("veth-{}", &pod[pod.len().saturating_sub(10)..])
}

/// The addresses of a node's bridge.
const fn bridge_addresses(node: u8) -> Addresses {
    Addresses::pod(node, 1)
}

/// A route to the pod on the node, a made-up gateway in the pod.
fn join_by_routes(node: &Namespace, veth: &str, pod: &Namespace, addresses: Addresses) -> Result<()> {
    let gateway_mac = links::configure(node, async |links| links.mac(veth).await)?;
    links::configure(pod, async |links| {
        links.addresses(INTERFACE, addresses.with_prefixes(32, 128)).await?;
        for family in FAMILIES {
            let gateway = POD_GATEWAYS.of(family);
            links.neighbour(INTERFACE, gateway, gateway_mac).await?;
        }
        lead_out(links, POD_GATEWAYS).await
    })?;
    links::configure(node, async |links| {
        for address in addresses.with_prefixes(32, 128) {
            links.route(address, veth, None).await?;
        }
        Ok(())
    })?;
    links::await_link_local(node, veth)
}

/// A port of the bridge; the pod reaches its neighbours by itself and the others by the bridge.
fn join_bridge(
    node: &Namespace,
    veth: &str,
    pod: &Namespace,
    addresses: Addresses,
    gateways: Addresses,
) -> Result<()> {
    links::configure(node, async |links| links.join(veth, BRIDGE).await)?;
    links::configure(pod, async |links| {
        links.addresses(INTERFACE, addresses.with_prefixes(24, 64)).await?;
        lead_out(links, gateways).await
    })?;
    links::await_link_local(node, BRIDGE)?;
    links::await_link_local(pod, INTERFACE)
}

/// The default route of a pod.
async fn lead_out(links: &Links, gateways: Addresses) -> Result<()> {
    for everything in everything() {
        let gateway = gateways.of(Family::of(everything.addr()));
        links.route(everything, INTERFACE, Some(gateway)).await?;
    }
    Ok(())
}
