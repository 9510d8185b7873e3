//! Fragments: the first of a datagram has the ports, the others follow it.

use crate::{
    clock,
    exception::Exception,
    packet::{Family, Headers, Packet, sctp},
    related, stats,
};
use svc_lb_common::{
    address::Tuple,
    counters::Program,
    flow::{Flow, FlowKey},
    fragment::{FragmentKey, FragmentPorts},
};

/// Keeps the ports of a first fragment, which its flow is about to translate.
#[inline(never)]
pub fn remember<A: Family>(headers: &Headers<A>, to: &Tuple<A>, now: u32) -> Result<(), Exception> {
    sctp::check_fragment(headers, to)?;
    let tuple = &headers.key.tuple;
    let ports = FragmentPorts { source: tuple.source_port, destination: tuple.destination_port, seen: now };
    // Where there is no memory, the others go to the host's stack like all whose first was not seen.
    let _ = A::fragments().insert(&key(headers), &ports, 0);
    Ok(())
}

/// Translates a later fragment as its first: the addresses alone, for it has no transport header. It
/// opens no flow, and is no part of any conversation's state.
#[inline(never)]
pub fn follow<P: Packet, A: Family>(
    packet: P,
    headers: &Headers<A>,
    program: Program,
) -> Result<P::Verdict, Exception> {
    let now = clock::now();
    let ports = ports(headers, now).ok_or(Exception::NotOurs)?;
    let tuple = Tuple { source_port: ports.source, destination_port: ports.destination, ..headers.key.tuple };
    let flow = related::flow(&FlowKey { tuple, ..headers.key }, now)?;
    let hop = related::next_hop(packet, headers, flow, &flow.rewrite)?;
    related::readdress(&packet, flow, &flow.rewrite)?;
    let verdict = related::send(&packet, flow, hop)?;
    stats::rewritten(program, flow.service, flow.has(Flow::<A>::REPLY), headers.length);
    Ok(verdict)
}

/// The ports of the datagram that a fragment belongs to, if its first was seen.
#[inline(always)]
fn ports<A: Family>(headers: &Headers<A>, now: u32) -> Option<FragmentPorts> {
    // SAFETY: an entry is replaced as a whole. One that is evicted meanwhile may be reused for another
    // datagram: an accepted risk of every LRU table, of some nanoseconds.
    let ports = unsafe { A::fragments().get(&key(headers)) }?;
    ports.is_live(now).then_some(*ports)
}

#[inline(always)]
fn key<A: Family>(headers: &Headers<A>) -> FragmentKey<A> {
    let FlowKey { tuple, protocol, hook } = &headers.key;
    FragmentKey {
        source: tuple.source,
        destination: tuple.destination,
        identification: headers.identification,
        protocol: *protocol,
        hook: *hook,
    }
}
