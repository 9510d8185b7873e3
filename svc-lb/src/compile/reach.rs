//! Cluster → what of it must be reached from this node, besides its endpoints.

use super::{Options, node_addresses::internal_addresses};
use crate::{
    cluster::{Cluster, Node},
    node::{NodePortPlaces, Reach},
    options::NodePortAddresses,
};
use ipnet::IpNet;

/// What the choice of uplinks and neighbours depends on, besides the machine.
pub fn reach(cluster: &Cluster, options: &Options) -> Reach {
    let node_ports = match &options.nodeport_addresses {
        NodePortAddresses::Primary => {
            NodePortPlaces::Primary(internal_addresses(cluster, &options.node_name).collect())
        }
        NodePortAddresses::Within(ranges) => NodePortPlaces::Within(ranges.clone()),
    };
    let others = cluster.nodes.iter().filter(|(name, _)| **name != options.node_name);
    let prefixes = |node: &Node| {
        let addresses = node.addresses.iter().map(|address| IpNet::from(*address));
        addresses.chain(node.pod_cidrs.iter().copied()).collect()
    };
    Reach { node_ports, nodes: others.map(|(name, node)| (name.clone(), prefixes(node))).collect() }
}
