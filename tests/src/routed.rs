//! The routed rig's network, without an agent.
//!
//! ```text
//!   client ──┐                      ┌── pods of the node, a veth pair each
//!            ├── lan (a bridge) ── node
//!   node2 ───┘
//!     └── pods of the second node
//! ```

use crate::{
    host::{Host, INTERFACE},
    links::{self, Links},
    namespace::Namespace,
    nftables, offload,
    plan::{Addresses, CLUSTER_CIDR, POD_GATEWAYS},
    wait::{SOON, until},
};
use anyhow::Result;
use ipnet::IpNet;
use std::sync::atomic::{AtomicU8, Ordering};
use svc_lb::compile::Family;

/// The host number of each host of the lan.
const NODES: [u8; 2] = [2, 3];
const CLIENT: u8 = 9;
/// The number of the first pod of each node.
const FIRST_POD: u8 = 11;

/// The hosts and what joins them.
#[derive(Debug)]
pub struct Network {
    /// Outside the cluster. It has routes to the pods and the ClusterIPs by the node.
    pub client: Host,
    /// The bridge's namespace; its port towards a host is named for the host.
    pub lan: Namespace,
    /// Where the agent runs.
    pub node: Host,
    /// The second node, without an agent.
    pub node2: Host,
    pods: [AtomicU8; 2],
    offloads: bool,
}

impl Network {
    /// Builds it. Without `offloads`, what leaves the node, and what reaches its uplink, has its
    /// checksums finished and is in segments.
    pub fn build(offloads: bool) -> Result<Self> {
        let lan = Namespace::new("lan")?;
        lan.set_sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        links::configure(&lan, async |links| links.bridge("lan").await)?;
        let network = Self {
            node: lan_host(&lan, "node", NODES[0])?,
            node2: lan_host(&lan, "node2", NODES[1])?,
            client: lan_host(&lan, "client", CLIENT)?,
            lan,
            pods: [FIRST_POD; 2].map(AtomicU8::new),
            offloads,
        };
        network.add_routes()?;
        network.make_strict()?;
        if !offloads {
            offload::finish_checksums(&network.lan, "node")?;
            offload::finish_checksums(network.node.namespace(), INTERFACE)?;
        }
        Ok(network)
    }

    /// A pod on the node, named as its server answers.
    pub fn pod(&self, name: &str) -> Result<Host> {
        let number = self.pods[0].fetch_add(1, Ordering::Relaxed);
        let pod = pod_of(self.node.namespace(), name, Addresses::pod(0, number))?;
        if !self.offloads {
            offload::finish_checksums(self.node.namespace(), &veth(name))?;
        }
        Ok(pod)
    }

    /// A pod on the second node.
    pub fn remote_pod(&self, name: &str) -> Result<Host> {
        let number = self.pods[1].fetch_add(1, Ordering::Relaxed);
        pod_of(self.node2.namespace(), name, Addresses::pod(1, number))
    }

    /// Which pods a node has.
    pub fn pod_cidr(node: u8) -> [IpNet; 2] {
        Addresses::pod(node, 0).with_prefixes(24, 64)
    }

    /// Makes the node masquerade its pods, as a CNI does, at random ports.
    pub fn masquerade(&self) -> Result<()> {
        let pods = CLUSTER_CIDR.split(',').map(str::parse).collect::<Result<Vec<IpNet>, _>>()?;
        nftables::masquerade(self.node.namespace(), INTERFACE, &pods)
    }

    /// Each node reaches the other's pods, and the client all pods and ClusterIPs, by the nodes. What
    /// nobody has is the client's, who keeps it.
    fn add_routes(&self) -> Result<()> {
        let services = Addresses::service(0).with_prefixes(12, 112);
        let everything = everything()?;
        let routes = [
            (&self.node, Self::pod_cidr(1), &self.node2),
            (&self.node2, Self::pod_cidr(0), &self.node),
            (&self.client, Self::pod_cidr(0), &self.node),
            (&self.client, Self::pod_cidr(1), &self.node2),
            (&self.client, services, &self.node),
            (&self.node, everything, &self.client),
            (&self.node2, everything, &self.client),
        ];
        self.client.namespace().set_sysctl("ipv4/ip_forward", "0")?;
        self.client.namespace().set_sysctl("ipv6/conf/all/forwarding", "0")?;
        for (host, destinations, gateway) in routes {
            links::configure(host.namespace(), async |links| {
                for destination in destinations {
                    let gateway = gateway.address(Family::of(destination.addr()));
                    links.route(destination.trunc(), INTERFACE, Some(gateway)).await?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Makes the nodes as strict as nodes in the field are: they drop what conntrack finds invalid and
    /// what comes by another interface than its answer would go.
    fn make_strict(&self) -> Result<()> {
        for node in [&self.node, &self.node2] {
            nftables::drop_invalid(node.namespace())?;
        }
        Ok(())
    }
}

/// The host side of a pod's veth pair: named for the end of the pod's name, which is the part that
/// differs, and not longer than the kernel takes.
pub fn veth(pod: &str) -> String {
    format!("veth-{}", &pod[pod.len().saturating_sub(10)..])
}

/// A host with an address on the lan.
fn lan_host(lan: &Namespace, name: &str, number: u8) -> Result<Host> {
    let addresses = Addresses::lan(number);
    let namespace = new_namespace(name)?;
    links::configure(lan, async |links| {
        links.veth(name, INTERFACE, &namespace).await?;
        links.join(name, "lan").await?;
        links.up(name).await
    })?;
    links::configure(&namespace, async |links| {
        links.up(INTERFACE).await?;
        give_addresses(links, INTERFACE, addresses.with_prefixes(24, 64)).await
    })?;
    await_link_local(&namespace, INTERFACE)?;
    Host::new(namespace, addresses)
}

/// A pod as a CNI makes one: a veth pair, a route to it on the node, a made-up gateway in it.
fn pod_of(node: &Namespace, name: &str, addresses: Addresses) -> Result<Host> {
    let (namespace, veth) = (new_namespace(name)?, veth(name));
    links::configure(node, async |links| {
        links.veth(&veth, INTERFACE, &namespace).await?;
        links.up(&veth).await
    })?;
    let gateway_mac = links::configure(node, async |links| links.mac(&veth).await)?;
    links::configure(&namespace, async |links| {
        links.up(INTERFACE).await?;
        give_addresses(links, INTERFACE, addresses.with_prefixes(32, 128)).await?;
        for everything in everything()? {
            let gateway = POD_GATEWAYS.of(Family::of(everything.addr()));
            links.neighbour(INTERFACE, gateway, gateway_mac).await?;
            links.route(everything, INTERFACE, Some(gateway)).await?;
        }
        Ok(())
    })?;
    links::configure(node, async |links| {
        for address in addresses.with_prefixes(32, 128) {
            links.route(address, &veth, None).await?;
        }
        Ok(())
    })?;
    await_link_local(node, &veth)?;
    Host::new(namespace, addresses)
}

/// The destination of a default route, in each family.
fn everything() -> Result<[IpNet; 2]> {
    Ok(["0.0.0.0/0".parse()?, "::/0".parse()?])
}

/// A namespace that forwards, whose addresses are usable at once, and that answers every mistake.
fn new_namespace(name: &str) -> Result<Namespace> {
    let namespace = Namespace::new(name)?;
    for (path, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/default/rp_filter", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        // A limit on ICMP would make a second error look like a lost packet.
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv4/icmp_msgs_per_sec", "1000000"),
        ("ipv6/icmp/ratelimit", "0"),
    ] {
        namespace.set_sysctl(path, value)?;
    }
    Ok(namespace)
}

async fn give_addresses(links: &Links, interface: &str, addresses: [IpNet; 2]) -> Result<()> {
    for address in addresses {
        links.address(interface, address).await?;
    }
    Ok(())
}

/// Waits for the address by which IPv6 neighbours are looked up.
fn await_link_local(namespace: &Namespace, interface: &str) -> Result<()> {
    /// `IFA_F_TENTATIVE` (linux/if_addr.h), as a word of the table.
    const TENTATIVE: u32 = 0x40;
    until("a usable IPv6 link-local address", SOON, || {
        let table = namespace.proc_net("if_inet6")?;
        let usable = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|words| {
            let flags = words.get(4).and_then(|flags| u32::from_str_radix(flags, 16).ok());
            words.last() == Some(&interface)
                && words[0].starts_with("fe80")
                && flags.is_some_and(|flags| flags & TENTATIVE == 0)
        });
        Ok(usable.then_some(()))
    })
}
