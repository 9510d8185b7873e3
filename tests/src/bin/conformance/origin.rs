//! Where a packet comes from, which decides at which hook it meets svc-lb.

use crate::case::{Case, Packet};
use ipnet::IpNet;

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A process of the node connects.
    Node,
    /// It comes in by a pod's interface.
    Pod,
    /// It comes in by an uplink.
    Outside,
}

/// The addresses of pods in the cluster of all cases: some nodes are not told of them, but have pods all the
/// same.
#[derive(Debug)]
pub struct Pods(Vec<IpNet>);

impl Pods {
    /// As far as the nodes of the cases are told.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Self {
        Self(cases.into_iter().filter_map(|case| case.node.pod_cidr).collect())
    }

    /// Where a packet of a case comes from. What is from its own destination is the node's: where a frontend's
    /// address is on an interface of the node, that is the source of the node's connections to it.
    pub fn origin(&self, case: &Case, packet: &Packet) -> Origin {
        if case.node.local_addresses.contains(&packet.source) || packet.source == packet.destination {
            Origin::Node
        } else if self.0.iter().any(|range| range.contains(&packet.source)) {
            Origin::Pod
        } else {
            Origin::Outside
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::{example, forwarded};

    #[test]
    fn the_address_of_a_source_tells_where_it_is() {
        let cases = [example(|_| {}), example(|case| case["node"]["localPodCIDR"] = "".into())];
        let pods = Pods::of(&cases);
        for (source, origin) in [
            ("192.168.0.2", Origin::Node),
            ("192.0.2.1", Origin::Node),
            ("10.9.9.9", Origin::Pod),
            ("203.0.113.2", Origin::Outside),
        ] {
            for case in &cases {
                assert_eq!(pods.origin(case, &forwarded(source, "192.0.2.1:80", &[], false)), origin);
            }
        }
    }
}
