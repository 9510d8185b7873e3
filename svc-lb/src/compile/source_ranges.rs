//! Who may use the addresses of a Service's load balancer.

use super::node_addresses::NodeAddresses;
use crate::{cluster::Service, source::Family};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};

/// The only sources that may, in one family; `None`: all may. A family of which no range is given is open to all,
/// unless there are ranges that cannot be read: one of them may have been meant for it.
///
/// If a range holds the node's own address, the addresses of the load balancer are sources too: where one of them
/// is on an interface of the node, the node's own connections come from there.
pub fn source_ranges(service: &Service, family: Family, node: NodeAddresses) -> Option<BTreeSet<IpNet>> {
    let given = &service.source_ranges;
    let is_of_family = |address: &IpAddr| Family::of(*address) == family;
    let ranges = given.ranges.iter().filter(|range| is_of_family(&range.addr()));
    let mut allowed: BTreeSet<IpNet> = ranges.copied().collect();
    let addresses = service.load_balancer_ips.iter().map(|listed| listed.address).filter(is_of_family);
    let mut addresses = addresses.peekable();
    let is_open = allowed.is_empty() && !given.unreadable;
    if addresses.peek().is_none() || is_open || allowed.iter().any(|range| range.prefix_len() == 0) {
        return None;
    }
    if node.iter().any(|address| allowed.iter().any(|range| range.contains(&address))) {
        allowed.extend(addresses.map(IpNet::from));
    }
    Some(allowed)
}
