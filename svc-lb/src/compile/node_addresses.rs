//! The addresses of this node.

use crate::{
    cluster::Cluster,
    node::{Facts, Interface},
    options::NodePortAddresses,
    source::why_unusable,
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The one address of a node in each family that stands for it: what it sends from where it translates
/// the source, and by default where it answers at NodePorts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeAddresses {
    /// IPv4; `None` if the node has none.
    pub v4: Option<Ipv4Addr>,
    /// IPv6; `None` if the node has none.
    pub v6: Option<Ipv6Addr>,
}

impl NodeAddresses {
    /// Those that there are.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// Takes an address if there is none of its family yet.
    fn offer(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => drop(self.v4.get_or_insert(address)),
            IpAddr::V6(address) => drop(self.v6.get_or_insert(address)),
        }
    }
}

/// The addresses of the node of this name: in each family the InternalIP of the Node, else the first
/// uplink's first address.
pub fn node_addresses(cluster: &Cluster, facts: &Facts, node_name: &str) -> NodeAddresses {
    let of_uplinks = facts.interfaces.iter().filter(|it| it.is_uplink()).flat_map(addresses);
    let mut found = NodeAddresses::default();
    internal_addresses(cluster, node_name).chain(of_uplinks).for_each(|address| found.offer(address));
    found
}

/// The InternalIPs of the Node of this name.
pub(super) fn internal_addresses<'a>(
    cluster: &'a Cluster,
    node_name: &str,
) -> impl Iterator<Item = IpAddr> + use<'a> {
    let addresses = cluster.nodes.get(node_name).into_iter().flat_map(|node| &node.addresses);
    addresses.copied().filter(|address| is_reachable(*address))
}

/// Where the node answers at NodePorts.
pub(super) fn nodeport_addresses(
    primary: NodeAddresses,
    facts: &Facts,
    wanted: &NodePortAddresses,
) -> BTreeSet<IpAddr> {
    match wanted {
        NodePortAddresses::Primary => primary.iter().collect(),
        NodePortAddresses::Within(ranges) => {
            let all = facts.interfaces.iter().flat_map(addresses);
            all.filter(|address| ranges.iter().any(|range| range.contains(address))).collect()
        }
    }
}

/// The addresses of an interface that others can reach.
pub(super) fn addresses(interface: &Interface) -> impl Iterator<Item = IpAddr> {
    interface.addresses.iter().map(ipnet::IpNet::addr).filter(|address| is_reachable(*address))
}

/// Whether an address is good for more than this node or one link.
fn is_reachable(address: IpAddr) -> bool {
    why_unusable(address).is_none()
}
