//! Which program finishes a packet, in each kind of network.
//!
//! The same table is in `docs/architecture.md`; a test compares the two.

use crate::{
    counters::Counters,
    manifest::Service,
    rig::{SocketLb, Xdp},
    topology::Topology,
};
use std::fmt;
use svc_lb::compile::{Family, Protocol};
use svc_lb_common::counters::Program::{
    self, SockConnect4, SockConnect6, TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress, XdpUplink,
};

/// Who asks for a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A pod of the node, for the ClusterIP and the NodePort; its sockets are not balanced.
    Pod,
    /// The same where its sockets are.
    PodSocket,
    /// The node itself, whose sockets are balanced, for the ClusterIP and the NodePort.
    NodeSocket,
    /// Somebody outside the cluster, for the NodePort.
    Outside,
}

impl Origin {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Pod, Self::PodSocket, Self::NodeSocket, Self::Outside];
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pod => "a pod",
            Self::PodSocket => "a pod with socket LB",
            Self::NodeSocket => "the node with socket LB",
            Self::Outside => "outside",
        })
    }
}

/// Where the backend of a Service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the pod that asks.
    SamePod,
    /// It is another pod of the node.
    LocalPod,
    /// It is a pod of another node.
    RemotePod,
    /// It is in the network of the node.
    Node,
    /// It is in the network of another node.
    OtherNode,
    /// There is none.
    Nowhere,
}

impl Place {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::SamePod, Self::LocalPod, Self::RemotePod, Self::Node, Self::OtherNode, Self::Nowhere];
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SamePod => "the same pod",
            Self::LocalPod => "a pod of the node",
            Self::RemotePod => "a pod of another node",
            Self::Node => "the node itself",
            Self::OtherNode => "another node itself",
            Self::Nowhere => "none",
        })
    }
}

/// Whose address the backend sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Who asked, with an address of its own.
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
    /// The one for the family connects the client straight to the backend: no packet is touched.
    Connect,
    /// The one for the family refuses to connect.
    Refuse,
}

/// The program that connects sockets of a family.
pub const fn connecting(family: Family) -> Program {
    match family {
        Family::V4 => SockConnect4,
        Family::V6 => SockConnect6,
    }
}

impl fmt::Display for Finishers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Translate(forward, reply) => write!(f, "`{}`, `{}`", forward.name(), reply.name()),
            Self::Reject(program) => write!(f, "`{}` rejects", program.name()),
            Self::Connect => f.write_str("`sock_connect4/6` once"),
            Self::Refuse => f.write_str("`sock_connect4/6` refuses"),
        }
    }
}

/// A line of the table: a scenario in some networks.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Who asks.
    pub from: Origin,
    /// Where the backend is.
    pub to: Place,
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
    /// A scenario that is the same in every network, with and without XDP.
    const fn new(from: Origin, to: Place, seen: Seen, finishers: Finishers) -> Self {
        Self { from, to, networks: EVERY, seen, native: finishers, tc: finishers }
    }

    /// The same scenario, finished so with native XDP.
    const fn with_xdp(mut self, finishers: Finishers) -> Self {
        self.native = finishers;
        self
    }

    /// The same scenario in these networks alone.
    const fn only_in(mut self, networks: &'static [Topology]) -> Self {
        self.networks = networks;
        self
    }

    /// Who finishes the packets.
    pub fn finishers(&self, xdp: Xdp) -> Finishers {
        if xdp == Xdp::Native { self.native } else { self.tc }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<_> = self.networks.iter().map(Topology::to_string).collect();
        let networks = if self.networks == EVERY { "every".to_owned() } else { networks.join(", ") };
        let Self { from, to, seen, native, tc, .. } = self;
        write!(f, "| {from} | {to} | {networks} | {seen} | {native} | {tc} |")
    }
}

const EVERY: &[Topology] = &Topology::ALL;

/// The networks in which XDP can send a packet to another node's pods.
const WITHOUT_TUNNEL: &[Topology] = &[
    Topology::Routed,
    Topology::Bridged { netfilter: true },
    Topology::Bridged { netfilter: false },
    Topology::TwoUplinks,
];

const BY_POD: Finishers = Finishers::Translate(TcPodIngress, TcPodEgress);
const BY_UPLINK: Finishers = Finishers::Translate(TcUplinkIngress, TcUplinkEgress);
const BY_INGRESS: Finishers = Finishers::Translate(TcUplinkIngress, TcUplinkIngress);
const BY_XDP: Finishers = Finishers::Translate(XdpUplink, XdpUplink);

/// The table. Each scenario appears once for each network.
pub const TABLE: [Line; 23] = [
    Line::new(Origin::Pod, Place::LocalPod, Seen::Client, BY_POD),
    Line::new(Origin::Pod, Place::RemotePod, Seen::Client, BY_POD),
    Line::new(Origin::Pod, Place::Node, Seen::Client, BY_POD),
    // The node's own masquerade hides the pod.
    Line::new(Origin::Pod, Place::OtherNode, Seen::NodeTowardsBackend, BY_POD),
    Line::new(Origin::Pod, Place::SamePod, Seen::Node, Finishers::Translate(TcPodIngress, TcPodIngress)),
    Line::new(Origin::Pod, Place::Nowhere, Seen::Nobody, Finishers::Reject(TcPodIngress)),
    Line::new(Origin::PodSocket, Place::LocalPod, Seen::Client, Finishers::Connect),
    Line::new(Origin::PodSocket, Place::RemotePod, Seen::Client, Finishers::Connect),
    Line::new(Origin::PodSocket, Place::Node, Seen::Client, Finishers::Connect),
    Line::new(Origin::PodSocket, Place::OtherNode, Seen::NodeTowardsBackend, Finishers::Connect),
    Line::new(Origin::PodSocket, Place::SamePod, Seen::Client, Finishers::Connect),
    Line::new(Origin::PodSocket, Place::Nowhere, Seen::Nobody, Finishers::Refuse),
    Line::new(Origin::NodeSocket, Place::LocalPod, Seen::Client, Finishers::Connect),
    Line::new(Origin::NodeSocket, Place::RemotePod, Seen::Client, Finishers::Connect),
    Line::new(Origin::NodeSocket, Place::Node, Seen::Client, Finishers::Connect),
    Line::new(Origin::NodeSocket, Place::OtherNode, Seen::Client, Finishers::Connect),
    Line::new(Origin::NodeSocket, Place::Nowhere, Seen::Nobody, Finishers::Refuse),
    Line::new(Origin::Outside, Place::LocalPod, Seen::Client, BY_UPLINK),
    Line::new(Origin::Outside, Place::RemotePod, Seen::NodeTowardsBackend, BY_INGRESS)
        .with_xdp(BY_XDP)
        .only_in(WITHOUT_TUNNEL),
    // XDP cannot put a packet into a tunnel, nor does it see what comes out of one.
    Line::new(Origin::Outside, Place::RemotePod, Seen::NodeTowardsBackend, BY_INGRESS)
        .only_in(&[Topology::Vxlan]),
    Line::new(Origin::Outside, Place::Node, Seen::Client, BY_UPLINK),
    Line::new(Origin::Outside, Place::OtherNode, Seen::NodeTowardsBackend, BY_INGRESS).with_xdp(BY_XDP),
    Line::new(Origin::Outside, Place::Nowhere, Seen::Nobody, Finishers::Reject(TcUplinkIngress))
        .with_xdp(Finishers::Reject(XdpUplink)),
];

/// What is expected in a network: a line for each scenario.
pub fn of(network: Topology) -> impl Iterator<Item = Line> {
    TABLE.into_iter().filter(move |line| line.networks.contains(&network))
}

/// Fails unless so many conversations of the node's pods with a Service, or of the node itself, were finished as
/// they are meant to be, and nothing else was.
///
/// # Panics
/// If they were not.
#[track_caller]
pub fn assert_internal(
    work: &Counters,
    socket_lb: SocketLb,
    service: &Service,
    (family, protocol): (Family, Protocol),
    conversations: u64,
) {
    let (forward, reply, flows, sockets) = match socket_lb {
        SocketLb::On => (connecting(family), None, 0, conversations),
        SocketLb::Off => (TcPodIngress, Some(TcPodEgress), conversations, 0),
    };
    let replied_by: Vec<Program> = reply.into_iter().collect();
    assert_eq!((work.forwarded_by(), work.replied_by()), (vec![forward], replied_by), "{protocol} {family}");
    assert_eq!(work.new_flows(service, protocol, family), flows, "{protocol} {family}");
    assert_eq!(work.socket_connections(service, protocol, family), sockets, "{protocol} {family}");
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
            for (from, to) in Origin::ALL.into_iter().flat_map(|from| Place::ALL.map(|to| (from, to))) {
                let lines = of(network).filter(|line| (line.from, line.to) == (from, to)).count();
                let is_a_pod = matches!(from, Origin::Pod | Origin::PodSocket);
                let expected = usize::from(is_a_pod || to != Place::SamePod);
                assert_eq!(lines, expected, "{network}: {from}, {to}");
            }
        }
    }
}
