//! Which program finishes a packet, in each kind of network.
//!
//! The same table is in `docs/architecture.md`; a test compares the two.

use crate::{rig::Xdp, topology::Topology};
use std::fmt;
use svc_lb_common::counters::Program::{
    self, TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress, XdpUplink,
};

/// Who asks for what, and where the backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A pod asks for a Service whose backend is another pod of its node.
    PodToLocal,
    /// A pod asks for a Service whose backend is on another node.
    PodToRemote,
    /// A pod asks for a Service whose backend it is itself.
    PodToItself,
    /// A pod asks for a Service without endpoints.
    PodToNobody,
    /// Somebody outside the cluster asks for a Service whose backend is on the node.
    OutsideToLocal,
    /// Somebody outside the cluster asks for a Service whose backend is on another node.
    OutsideToRemote,
    /// Somebody outside the cluster asks for a Service without endpoints.
    OutsideToNobody,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PodToLocal => "pod → backend on its node",
            Self::PodToRemote => "pod → backend on another node",
            Self::PodToItself => "pod → the pod itself",
            Self::PodToNobody => "pod → no endpoints",
            Self::OutsideToLocal => "outside → backend on the node",
            Self::OutsideToRemote => "outside → backend on another node",
            Self::OutsideToNobody => "outside → no endpoints",
        })
    }
}

/// Whose address the backend sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Who asked.
    Client,
    /// The node that the client asked, with its first address.
    Node,
    /// The node that the client asked, with the address of the interface that leads to the backend.
    NodeTowardsBackend,
    /// There is no backend.
    Nobody,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Client => "the client",
            Self::Node => "the node",
            Self::NodeTowardsBackend => "the node, at the egress interface",
            Self::Nobody => "",
        })
    }
}

/// The programs that finish the packets of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finishers {
    /// One translates what the client sends, the other what the backend answers.
    Translate(Program, Program),
    /// One answers the client by itself.
    Reject(Program),
}

impl fmt::Display for Finishers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Translate(forward, reply) => write!(f, "`{}`, `{}`", forward.name(), reply.name()),
            Self::Reject(program) => write!(f, "`{}` rejects", program.name()),
        }
    }
}

/// A line of the table: a scenario in some networks.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The scenario.
    pub scenario: Scenario,
    /// The networks.
    pub networks: &'static [Topology],
    /// Whose address the backend sees.
    pub seen: Seen,
    /// With XDP in the driver of every uplink that can have it.
    native: Finishers,
    /// Without XDP.
    tc: Finishers,
}

impl Line {
    /// Who finishes the packets.
    pub fn finishers(&self, xdp: Xdp) -> Finishers {
        if xdp == Xdp::Native { self.native } else { self.tc }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<_> = self.networks.iter().map(Topology::to_string).collect();
        let networks = if self.networks == EVERY { "every".to_owned() } else { networks.join(", ") };
        let Self { scenario, seen, native, tc, .. } = self;
        write!(f, "| {scenario} | {networks} | {seen} | {native} | {tc} |")
    }
}

const EVERY: &[Topology] = &Topology::ALL;

/// The table. Each scenario appears once for each network.
pub const TABLE: [Line; 8] = [
    in_every(Scenario::PodToLocal, Seen::Client, Finishers::Translate(TcPodIngress, TcPodEgress)),
    in_every(Scenario::PodToRemote, Seen::Client, Finishers::Translate(TcPodIngress, TcPodEgress)),
    in_every(Scenario::PodToItself, Seen::Node, Finishers::Translate(TcPodIngress, TcPodIngress)),
    in_every(Scenario::PodToNobody, Seen::Nobody, Finishers::Reject(TcPodIngress)),
    in_every(Scenario::OutsideToLocal, Seen::Client, Finishers::Translate(TcUplinkIngress, TcUplinkEgress)),
    Line {
        scenario: Scenario::OutsideToRemote,
        networks: &[
            Topology::Routed,
            Topology::Bridged { netfilter: true },
            Topology::Bridged { netfilter: false },
            Topology::TwoUplinks,
        ],
        seen: Seen::NodeTowardsBackend,
        native: Finishers::Translate(XdpUplink, XdpUplink),
        tc: Finishers::Translate(TcUplinkIngress, TcUplinkIngress),
    },
    // XDP cannot put a packet into a tunnel, nor does it see what comes out of one.
    Line {
        networks: &[Topology::Vxlan],
        ..in_every(
            Scenario::OutsideToRemote,
            Seen::NodeTowardsBackend,
            Finishers::Translate(TcUplinkIngress, TcUplinkIngress),
        )
    },
    Line {
        native: Finishers::Reject(XdpUplink),
        ..in_every(Scenario::OutsideToNobody, Seen::Nobody, Finishers::Reject(TcUplinkIngress))
    },
];

/// A line for what is the same in every network, with and without XDP.
const fn in_every(scenario: Scenario, seen: Seen, finishers: Finishers) -> Line {
    Line { scenario, networks: EVERY, seen, native: finishers, tc: finishers }
}

/// What is expected in a network: a line for each scenario.
pub fn of(network: Topology) -> impl Iterator<Item = Line> {
    TABLE.into_iter().filter(move |line| line.networks.contains(&network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_documentation_is_this_one() {
        let documentation = include_str!("../../docs/architecture.md");
        let section = documentation.split("## Which program finishes a packet").nth(1).expect("a section");
        let table = section.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
        let lines: Vec<_> = table.take_while(|line| line.starts_with('|')).map(str::to_owned).collect();
        assert_eq!(lines, TABLE.map(|line| line.to_string()));
    }

    #[test]
    fn every_network_has_every_scenario_once() {
        for network in Topology::ALL {
            let scenarios: Vec<_> = of(network).map(|line| line.scenario).collect();
            assert_eq!(scenarios.len(), 7, "{network}: {scenarios:?}");
        }
    }
}
