//! The hosts of a rig and what joins them, without an agent.
//!
//! ```text
//!   client ──┐                 ┌── pods of the node
//!            ├── lan ──── node ┘
//!   node2 ───┘
//!     └── pods of the second node
//! ```
//!
//! How pods are joined to their node is told in [`Pods`], and how a node reaches those of the other in
//! [`Topology`].

use crate::{
    host::{Host, INTERFACE},
    lan::{Lan, SECOND_INTERFACE},
    links,
    namespace::Namespace,
    nftables, offload, overlay,
    plan::{Addresses, CLUSTER_CIDR, NODES, everything, pod_cidr},
    pods::{Pods, veth},
    topology::Topology,
};
use anyhow::Result;
use ipnet::IpNet;
use svc_lb::compile::Family;

/// The host number of each host of a lan.
const NODE: u8 = 2;
const NODE2: u8 = 3;
const CLIENT: u8 = 9;

/// What a packet on a lan may measure.
const LAN_MTU: u32 = 1500;

/// The hosts and what joins them.
#[derive(Debug)]
pub struct Network {
    /// Outside the cluster. It has routes to the pods and the ClusterIPs by the node.
    pub client: Host,
    /// Where the agent runs.
    pub node: Host,
    /// The second node, without an agent.
    pub node2: Host,
    topology: Topology,
    lans: Vec<Lan>,
    pods: [Pods; 2],
    offloads: bool,
}

impl Network {
    /// Builds it. Without `offloads`, what leaves the node, and what reaches its uplinks, has its
    /// checksums finished and is in segments.
    pub fn build(topology: Topology, offloads: bool) -> Result<Self> {
        let mut lans = vec![Lan::new(0)?];
        let client = lans[0].host("client", CLIENT)?;
        let mut node = lans[0].host(NODES[0], NODE)?;
        if topology == Topology::TwoUplinks {
            let second = Lan::new(1)?;
            second.adopt(&mut node, NODE)?;
            lans.push(second);
        }
        let mut node2 = lans[lans.len() - 1].host(NODES[1], NODE2)?;
        let pods = match topology {
            Topology::Routed | Topology::TwoUplinks => [0, 1].map(|node| Pods::routed(node, LAN_MTU)),
            Topology::Vxlan => {
                overlay::join([&mut node, &mut node2])?;
                [0, 1].map(|node| Pods::routed(node, overlay::MTU))
            }
            Topology::Bridged { netfilter } => {
                for node in [&node, &node2] {
                    pass_to_netfilter(node.namespace(), netfilter)?;
                }
                [Pods::bridged(0, &mut node, LAN_MTU)?, Pods::bridged(1, &mut node2, LAN_MTU)?]
            }
        };
        let network = Self { client, node, node2, topology, lans, pods, offloads };
        network.add_routes()?;
        network.make_strict()?;
        if !offloads {
            network.finish_checksums()?;
        }
        Ok(network)
    }

    /// What kind it is.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// The namespace of the switch of each lan that the node is in; its port towards the node is named
    /// for the node.
    pub fn lans(&self) -> impl Iterator<Item = &Namespace> {
        self.lans.iter().map(Lan::switch)
    }

    /// The namespace of the switch that the client is at.
    pub fn lan(&self) -> &Namespace {
        self.lans[0].switch()
    }

    /// The node's addresses towards the second node: what that sees of whomever the node speaks for.
    pub fn node_towards_node2(&self) -> Addresses {
        match self.topology {
            Topology::Routed | Topology::Bridged { .. } | Topology::Vxlan => self.node.addresses(),
            Topology::TwoUplinks => Addresses::lan(1, NODE),
        }
    }

    /// The same towards the pods of the second node.
    pub fn node_towards_remote_pods(&self) -> Addresses {
        match self.topology {
            Topology::Vxlan => overlay::addresses(0),
            _ => self.node_towards_node2(),
        }
    }

    /// The node's addresses at its uplinks, for clients.
    pub fn node_towards_clients(&self) -> Vec<Addresses> {
        (0..).zip(&self.lans).map(|(lan, _)| Addresses::lan(lan, NODE)).collect()
    }

    /// A pod on the node, named as its server answers.
    pub fn pod(&self, name: &str) -> Result<Host> {
        let pod = self.pods[0].add(self.node.namespace(), name)?;
        if !self.offloads {
            offload::finish_checksums(self.node.namespace(), &veth(name))?;
        }
        Ok(pod)
    }

    /// A pod on the second node.
    pub fn remote_pod(&self, name: &str) -> Result<Host> {
        self.pods[1].add(self.node2.namespace(), name)
    }

    /// Makes both nodes masquerade their pods, as a CNI does, at random ports.
    pub fn masquerade(&self) -> Result<()> {
        let pods = CLUSTER_CIDR.split(',').map(str::parse).collect::<Result<Vec<IpNet>, _>>()?;
        [&self.node, &self.node2]
            .into_iter()
            .try_for_each(|node| nftables::masquerade(node.namespace(), &pods))
    }

    /// Each node reaches the other's pods, and the client all pods, ClusterIPs and load balancers, by the nodes. What
    /// nobody has is the client's, who keeps it.
    fn add_routes(&self) -> Result<()> {
        let (client, node, node2) = (&self.client, &self.node, &self.node2);
        client.namespace().set_sysctl("ipv4/ip_forward", "0")?;
        client.namespace().set_sysctl("ipv6/conf/all/forwarding", "0")?;
        let to_client = client.addresses();
        let to_node = node.addresses();
        route(node, everything(), INTERFACE, to_client)?;
        route(client, pod_cidr(0), INTERFACE, to_node)?;
        route(client, Addresses::service(0).with_prefixes(12, 112), INTERFACE, to_node)?;
        route(client, Addresses::load_balancer(0).with_prefixes(24, 112), INTERFACE, to_node)?;
        if self.topology == Topology::TwoUplinks {
            let second_lan = Addresses::lan(1, 0).with_prefixes(24, 64);
            route(client, second_lan, INTERFACE, to_node)?;
            route(client, pod_cidr(1), INTERFACE, to_node)?;
            route(node, pod_cidr(1), SECOND_INTERFACE, node2.addresses())?;
            return route(node2, everything(), INTERFACE, Addresses::lan(1, NODE));
        }
        route(client, pod_cidr(1), INTERFACE, node2.addresses())?;
        route(node2, everything(), INTERFACE, to_client)?;
        if self.topology != Topology::Vxlan {
            route(node, pod_cidr(1), INTERFACE, node2.addresses())?;
            route(node2, pod_cidr(0), INTERFACE, to_node)?;
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

    /// Makes the kernel finish the checksums and segments of what leaves the node for a lan, or reaches it from one.
    pub fn finish_checksums(&self) -> Result<()> {
        for (lan, interface) in self.lans().zip([INTERFACE, SECOND_INTERFACE]) {
            offload::finish_checksums(lan, self.node.name())?;
            offload::finish_checksums(self.node.namespace(), interface)?;
        }
        Ok(())
    }
}

/// Whether netfilter sees what the bridges of a namespace switch.
fn pass_to_netfilter(namespace: &Namespace, pass: bool) -> Result<()> {
    let value = if pass { "1" } else { "0" };
    namespace.set_sysctl("bridge/bridge-nf-call-iptables", value)?;
    namespace.set_sysctl("bridge/bridge-nf-call-ip6tables", value)
}

/// A route of a host to some addresses of each family by a gateway.
fn route(host: &Host, destinations: [IpNet; 2], interface: &str, gateways: Addresses) -> Result<()> {
    links::configure(host.namespace(), async |links| {
        for destination in destinations {
            let gateway = gateways.of(Family::of(destination.addr()));
            links.route(destination.trunc(), interface, Some(gateway)).await?;
        }
        Ok(())
    })
}
