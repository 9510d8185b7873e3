//! The flow tables.

use crate::dataplane::{
    element::Backend,
    maps::{FamilyMaps, FamilyNames, Maps},
    typed::MapError,
};
use serde::Serialize;
use std::{collections::BTreeMap, net::SocketAddr};
use svc_lb_common::{
    address::{Address, Tuple},
    connection::{Phase, State},
    flow::{self, FlowKey, Hook, SCTP, TCP, UDP},
};

/// One direction of a tracked connection: an entry of a flow table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// `flows`, or `new_flows` for what was unfinished while there were too many.
    pub table: &'static str,
    /// The hook that its packets pass: `uplink-ingress`, `uplink-egress`, `pod-ingress`, `pod-egress`.
    pub hook: &'static str,
    /// Client → backend, or backend → client.
    pub direction: Direction,
    /// `TCP`, `UDP`, `SCTP`, or the protocol's number.
    pub protocol: String,
    /// Where the packet comes from, as it arrives.
    pub source: SocketAddr,
    /// Where the packet is to go, as it arrives.
    pub destination: SocketAddr,
    /// Where the packet comes from, as it is sent on.
    pub rewritten_source: SocketAddr,
    /// Where the packet is to go, as it is sent on.
    pub rewritten_destination: SocketAddr,
    /// `namespace/name` and, if the port has a name, `:port`; `None` once the service is gone.
    pub service: Option<String>,
    /// The service's number.
    pub service_id: u32,
    /// The endpoint; `None` for a connection that is let alone.
    pub backend: Option<SocketAddr>,
    /// Whether the endpoint was removed from the service since the flow was made.
    pub backend_removed: bool,
    /// Of TCP as nf_conntrack calls it: `syn-sent`, `syn-recv`, `established`, `close-wait`,
    /// `time-wait`, `close`; of SCTP likewise: `cookie-wait`, `established`, `shutdown-sent`,
    /// `shutdown-recd`, `shutdown-ack-sent`, `closed`; else `unreplied` or `replied`.
    pub state: &'static str,
    /// How long ago a packet of this direction was last seen, in seconds.
    pub age: u32,
    /// Whether svc-lb sends the packets on by itself, past the host's stack.
    pub routed: bool,
    /// Whether the connection is let alone: one of the node's own, from a port that is a frontend's.
    pub bypass: bool,
}

/// Which way a flow's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Client → backend.
    Forward,
    /// Backend → client.
    Reply,
}

/// Every entry, by source and destination. `now`: the dataplane's clock.
pub fn read(maps: &Maps, now: u32) -> Result<Vec<Flow>, MapError> {
    let names = maps.names.dump()?.into_iter();
    let names = names.filter_map(|(id, name)| Some((id, name.read()?.to_string()))).collect();
    let mut flows = Vec::new();
    Reader { names: &names, backends: maps.v4.backends()?, now }.read(&maps.v4, &mut flows)?;
    Reader { names: &names, backends: maps.v6.backends()?, now }.read(&maps.v6, &mut flows)?;
    flows.sort_by(|one, other| {
        let order = |flow: &Flow| (flow.source, flow.destination, flow.hook);
        order(one).cmp(&order(other))
    });
    Ok(flows)
}

/// What the numbers in a flow mean.
struct Reader<'a> {
    names: &'a BTreeMap<u32, String>,
    backends: Vec<Backend>,
    now: u32,
}

impl Reader<'_> {
    fn read<A: FamilyNames>(&self, maps: &FamilyMaps<A>, flows: &mut Vec<Flow>) -> Result<(), MapError> {
        for (table, name) in [(&maps.flows, "flows"), (&maps.new_flows, "new_flows")] {
            flows.extend(table.dump()?.iter().map(|(key, flow)| self.flow(name, key, flow)));
        }
        Ok(())
    }

    fn flow<A: Address>(&self, table: &'static str, key: &FlowKey<A>, flow: &flow::Flow<A>) -> Flow {
        let reply = flow.has(flow::Flow::<A>::REPLY);
        let bypass = flow.has(flow::Flow::<A>::BYPASS);
        let (source, destination) = ends(&key.tuple);
        let (rewritten_source, rewritten_destination) = ends(&flow.rewrite);
        let generation = self.backends.get(flow.backend as usize).map(|backend| backend.generation);
        let age = self.now.wrapping_sub(flow.last_seen).cast_signed().max(0).cast_unsigned();
        Flow {
            table,
            hook: hook(key.hook),
            direction: if reply { Direction::Reply } else { Direction::Forward },
            protocol: protocol(key.protocol),
            source,
            destination,
            rewritten_source,
            rewritten_destination,
            service: self.names.get(&flow.service).cloned(),
            service_id: flow.service,
            backend: (!bypass).then_some(if reply { source } else { rewritten_destination }),
            backend_removed: !bypass && generation != Some(flow.generation),
            state: state(State(flow.state).phase(key.protocol)),
            age,
            routed: flow.leaves_by_itself(),
            bypass,
        }
    }
}

/// Source and destination of a packet.
fn ends<A: Address>(tuple: &Tuple<A>) -> (SocketAddr, SocketAddr) {
    (
        SocketAddr::new(tuple.source.to_ip(), tuple.source_port.get()),
        SocketAddr::new(tuple.destination.to_ip(), tuple.destination_port.get()),
    )
}

fn hook(number: u16) -> &'static str {
    const UPLINK_INGRESS: u16 = Hook::UplinkIngress as u16;
    const UPLINK_EGRESS: u16 = Hook::UplinkEgress as u16;
    const POD_INGRESS: u16 = Hook::PodIngress as u16;
    const POD_EGRESS: u16 = Hook::PodEgress as u16;
    match number {
        UPLINK_INGRESS => "uplink-ingress",
        UPLINK_EGRESS => "uplink-egress",
        POD_INGRESS => "pod-ingress",
        POD_EGRESS => "pod-egress",
        _ => "unknown",
    }
}

fn protocol(number: u16) -> String {
    match number {
        TCP => "TCP".to_owned(),
        UDP => "UDP".to_owned(),
        SCTP => "SCTP".to_owned(),
        _ => number.to_string(),
    }
}

fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::TcpSynSent => "syn-sent",
        Phase::TcpSynRecv => "syn-recv",
        Phase::TcpEstablished | Phase::SctpEstablished => "established",
        Phase::TcpCloseWait => "close-wait",
        Phase::TcpTimeWait => "time-wait",
        Phase::TcpClose => "close",
        Phase::Udp => "unreplied",
        Phase::UdpStream => "replied",
        Phase::SctpCookieWait => "cookie-wait",
        Phase::SctpShutdownSent => "shutdown-sent",
        Phase::SctpShutdownRecd => "shutdown-recd",
        Phase::SctpShutdownAckSent => "shutdown-ack-sent",
        Phase::SctpClosed => "closed",
    }
}
