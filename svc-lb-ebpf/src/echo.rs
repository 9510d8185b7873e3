//! ICMP echo to a virtual address: svc-lb answers, because nobody else would.

use crate::{
    config,
    exception::Exception,
    frontend,
    packet::{Family, Headers, Icmp, Packet, reach},
    stats,
};
use svc_lb_common::{
    checksum,
    counters::{DropReason, Program},
    flow::Hook,
    fragment::Piece,
    frontend::Frontend,
};

/// Whether an ICMP message asks for an echo.
#[inline(always)]
pub fn is_request<P: Packet, A: Family>(packet: P, headers: &Headers<A>) -> bool {
    if headers.piece != Piece::Whole {
        return false;
    }
    reach(packet, headers.transport() + size_of::<Icmp>());
    packet.load::<Icmp>(headers.transport()).is_ok_and(|icmp| icmp.kind == A::ECHO_REQUEST)
}

/// Turns an echo request into its reply, if nobody but svc-lb has the address that it is for. What the node
/// itself asks leaves by an uplink before it is seen, and comes back in there.
#[inline(never)]
pub fn answer<P: Packet, A: Family>(
    packet: P,
    headers: &Headers<A>,
    program: Program,
) -> Result<P::Verdict, Exception> {
    let from_uplink = headers.key.hook == Hook::UplinkIngress as u16;
    let from_node = headers.key.hook == Hook::UplinkEgress as u16;
    if !from_uplink && !from_node && headers.key.hook != Hook::PodIngress as u16 {
        return Err(Exception::NotOurs);
    }
    let destination = headers.key.tuple.destination;
    let address = frontend::known(destination)?;
    if !address.has(Frontend::VIRTUAL) {
        return Err(Exception::NotOurs);
    }
    if from_uplink && !address.has(Frontend::EXTERNAL) && !config::external_cluster_ips() {
        return Err(Exception::Drop(DropReason::ClusterIpFromUplink));
    }
    let request: Icmp = packet.load(headers.transport())?;
    let word = |kind| u64::from(u16::from_ne_bytes([kind, request.code]));
    // Source and destination add the same to a pseudo-header when they are exchanged.
    let checksum = checksum::update(request.checksum, word(request.kind), word(A::ECHO_REPLY));
    A::turned(&packet, headers.length as u16)?;
    packet.store(headers.transport(), &Icmp { kind: A::ECHO_REPLY, checksum, ..request })?;
    let verdict = if from_node { packet.receive() } else { packet.send_back() }?;
    stats::echoed(program);
    Ok(verdict)
}
