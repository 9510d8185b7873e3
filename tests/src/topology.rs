//! The kinds of network that a rig can be.

use crate::{host::INTERFACE, lan::SECOND_INTERFACE, overlay};
use std::fmt;

/// How the hosts of a rig are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Pods have a veth pair and a route each; the nodes reach each other's pods by routes over one lan.
    Routed,
    /// As [`Topology::Routed`], but the pods of a node are ports of a bridge.
    Bridged {
        /// Whether netfilter sees what the bridge switches (`br_netfilter`).
        netfilter: bool,
    },
    /// As [`Topology::Routed`], but the nodes reach each other's pods through a VXLAN.
    Vxlan,
    /// As [`Topology::Routed`], but the second node is on a lan of its own, which the node reaches by a
    /// second interface that holds no default route.
    TwoUplinks,
}

impl Topology {
    /// Every one, for scenarios that hold in each.
    pub const ALL: [Self; 5] = [
        Self::Routed,
        Self::Bridged { netfilter: true },
        Self::Bridged { netfilter: false },
        Self::Vxlan,
        Self::TwoUplinks,
    ];

    /// The interfaces of the node that lead to clients and to other nodes.
    pub const fn uplinks(self) -> &'static [&'static str] {
        match self {
            Self::Routed | Self::Bridged { .. } => &[INTERFACE],
            Self::Vxlan => &[INTERFACE, overlay::INTERFACE],
            Self::TwoUplinks => &[INTERFACE, SECOND_INTERFACE],
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Routed => "routed",
            Self::Bridged { netfilter: true } => "bridge with br_netfilter",
            Self::Bridged { netfilter: false } => "bridge without br_netfilter",
            Self::Vxlan => "VXLAN",
            Self::TwoUplinks => "two uplinks",
        })
    }
}
