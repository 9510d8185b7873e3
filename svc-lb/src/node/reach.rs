//! What of the cluster must be reached from this node, and where the node itself is reached.

use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr};

/// What decides, with the routes and the [`Backends`](super::Backends), which interfaces are uplinks and which
/// neighbours are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Where this node answers at NodePorts.
    pub node_ports: NodePortPlaces,
    /// The other nodes by their names: their addresses, each as a prefix of its full length, and the
    /// ranges of their pods.
    pub nodes: BTreeMap<String, Vec<IpNet>>,
}

/// Where a node answers at NodePorts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortPlaces {
    /// At these addresses; in a family without one at the first address that is found.
    Primary(Vec<IpAddr>),
    /// At all its addresses within these ranges.
    Within(Vec<IpNet>),
}

impl Default for NodePortPlaces {
    fn default() -> Self {
        Self::Primary(Vec::new())
    }
}
