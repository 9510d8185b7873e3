//! ICMP errors about translated packets. Such an error quotes a packet as it was after its translation, and
//! travels against it: in the flow's other direction, whose entry has the addresses that the error's
//! receiver knows.

use crate::{
    clock,
    exception::Exception,
    packet::{
        Family, Headers, Icmp, Packet, Ports, parse_quoted,
        sctp::{self, Checksum},
    },
    related, stats,
};
use core::mem::offset_of;
use svc_lb_common::{
    address::{Be16, Tuple},
    checksum,
    counters::Program,
    flow::{Flow, FlowKey, SCTP, TCP},
    fragment::Piece,
};

/// Translates an ICMP error, its own addresses and those of the packet that it quotes.
#[inline(never)]
pub fn translate<P: Packet, A: Family>(
    packet: P,
    headers: &Headers<A>,
    program: Program,
) -> Result<P::Verdict, Exception> {
    let quoted = parse_quoted(packet, headers)?;
    let FlowKey { tuple, .. } = &quoted.key;
    let flow = related::flow(&FlowKey { tuple: tuple.reversed(), ..quoted.key }, clock::now())?;
    let to = addresses(headers, quoted, flow);
    let hop = related::next_hop(packet, headers, flow, &to)?;
    rewrite(packet, headers, quoted, flow)?;
    related::readdress(&packet, flow, &to)?;
    let verdict = related::send(&packet, flow, hop)?;
    stats::rewritten(program, flow.service, flow.has(Flow::<A>::REPLY), headers.length);
    Ok(verdict)
}

/// The addresses that the error itself gets. What the flow's sender says comes from where its packets come
/// from; a router on the way keeps its address, which is what shows the hops to those who ask for them.
/// But to a remote backend all goes under the node's address, or its answers would go past this node.
#[inline(always)]
fn addresses<A: Family>(headers: &Headers<A>, quoted: &Headers<A>, flow: &Flow<A>) -> Tuple<A> {
    let error = &headers.key.tuple;
    let is_the_peers = error.source == quoted.key.tuple.destination;
    let to_remote = flow.has(Flow::<A>::ROUTED) && !flow.has(Flow::<A>::REPLY);
    Tuple {
        source: if is_the_peers || to_remote { flow.rewrite.source } else { error.source },
        destination: flow.rewrite.destination,
        source_port: Be16::default(),
        destination_port: Be16::default(),
    }
}

/// Gives the quoted packet the addresses and ports that its sender sent it with, and corrects the checksum
/// of the message, as it will be with its own new addresses.
#[inline(never)]
fn rewrite<P: Packet, A: Family>(
    packet: P,
    headers: &Headers<A>,
    quoted: &Headers<A>,
    flow: &Flow<A>,
) -> Result<(), Exception> {
    let (from, to) = (&quoted.key.tuple, &flow.rewrite.reversed());
    let network = headers.transport() + size_of::<Icmp>() + A::REWRITTEN_OFFSET;
    packet.overwrite(network, &A::readdressed(packet.load(network)?, to, 0))?;
    packet.overwrite(quoted.transport(), &Ports::of(to))?;

    let (mut before, mut after) = (
        A::icmp_addresses(&headers.key.tuple) + A::icmp_addresses(from) + from.port_sum(),
        A::icmp_addresses(&addresses(headers, quoted, flow)) + A::icmp_addresses(to) + to.port_sum(),
    );
    if quoted.key.protocol == SCTP {
        let offset = quoted.sctp_checksum();
        if let Ok(field) = load_quoted::<P, A, Checksum>(packet, headers, offset)
            && sctp_checksum_is_known(quoted, field)
        {
            let network = headers.transport() + size_of::<Icmp>();
            let updated = sctp::updated(field, quoted, network, to);
            packet.overwrite(offset, &updated)?;
            before += sum(field);
            after += sum(updated);
        }
    } else if let Ok(field) = load_quoted::<P, A, u16>(packet, headers, quoted.checksum()) {
        let (old, new) = (from.address_sum() + from.port_sum(), to.address_sum() + to.port_sum());
        let difference = checksum::difference(old, new).into();
        let updated = if quoted.key.protocol == TCP {
            checksum::add(field, difference)
        } else {
            checksum::add_udp(field, difference)
        };
        packet.overwrite(quoted.checksum(), &updated)?;
        before += u64::from(field);
        after += u64::from(updated);
    }
    let offset = headers.transport() + offset_of!(Icmp, checksum);
    packet.overwrite(offset, &checksum::update(packet.load(offset)?, before, after))
}

/// Whether the checksum of a quoted SCTP packet can be corrected. That of a fragment covers what nobody
/// tells the length of; zero is one that was never completed. Their receiver does not look at it.
#[inline(always)]
fn sctp_checksum_is_known<A>(quoted: &Headers<A>, field: Checksum) -> bool {
    quoted.piece == Piece::Whole && field != [0; 2]
}

/// What two half words add to a checksum.
#[inline(always)]
fn sum([a, b]: [u16; 2]) -> u64 {
    u64::from(a) + u64::from(b)
}

/// A checksum of the quoted packet, if the quote goes so far: that of TCP and SCTP stands behind the eight bytes
/// that every error quotes.
#[inline(always)]
fn load_quoted<P: Packet, A: Family, T: Copy>(
    packet: P,
    headers: &Headers<A>,
    offset: usize,
) -> Result<T, Exception> {
    let end = P::NETWORK + headers.length as usize;
    if offset + size_of::<T>() > end {
        return Err(Exception::NotOurs);
    }
    packet.load(offset)
}
