//! What belongs to a flow by what another packet says: a later fragment by its first, an ICMP error by the
//! packet that it quotes. Nothing of the flow changes, and none of them is ever answered with an error.

use crate::{
    exception::Exception,
    flow::peek,
    packet::{Family, Headers, Packet},
    route,
};
use svc_lb_common::{
    address::Tuple,
    counters::DropReason,
    flow::{Flow, FlowKey, NextHop},
};

/// The live flow with a key.
#[inline(always)]
pub fn flow<A: Family>(key: &FlowKey<A>, now: u32) -> Result<&'static Flow<A>, Exception> {
    peek(key, now).filter(|flow| !flow.has(Flow::<A>::BYPASS)).ok_or(Exception::NotOurs)
}

/// Where a packet with these addresses goes if its flow's packets pass the host's stack by. Asked before
/// anything of it is changed.
#[inline(always)]
pub fn next_hop<P: Packet, A: Family>(
    packet: P,
    headers: &Headers<A>,
    flow: &Flow<A>,
    to: &Tuple<A>,
) -> Result<Option<&'static NextHop>, Exception> {
    if flow.leaves_by_itself() && headers.hop_limit <= 1 {
        return Err(Exception::Drop(DropReason::TimeExceeded));
    }
    if !flow.has_next_hop() {
        return Ok(None);
    }
    let hop = route::look_up(packet, to, headers.key.protocol);
    if !flow.has(Flow::<A>::ROUTED) {
        return Ok(hop.filter(|hop| hop.is_resolved()));
    }
    let hop = hop.ok_or(Exception::Drop(DropReason::Unroutable))?;
    if headers.length > u32::from(hop.mtu) {
        return Err(Exception::Drop(DropReason::TooLong));
    }
    Ok(Some(hop))
}

/// Gives the IP header the addresses of a tuple, as a hop of the flow's way would.
#[inline(always)]
pub fn readdress<P: Packet, A: Family>(packet: &P, flow: &Flow<A>, to: &Tuple<A>) -> Result<(), Exception> {
    let offset = P::NETWORK + A::REWRITTEN_OFFSET;
    let hops = u8::from(flow.leaves_by_itself());
    packet.overwrite(offset, &A::readdressed(packet.load(offset)?, to, hops))
}

/// Lets a packet go as those of its flow.
#[inline(always)]
pub fn send<P: Packet, A: Family>(
    packet: &P,
    flow: &Flow<A>,
    hop: Option<&NextHop>,
) -> Result<P::Verdict, Exception> {
    match hop {
        Some(hop) if flow.has(Flow::<A>::ROUTED) => packet.send_to::<A>(hop),
        Some(hop) => packet.switch_to(hop).map(|()| P::NEXT),
        None if flow.has(Flow::<A>::RETURNED) => packet.send_back(),
        None => Ok(P::NEXT),
    }
}
