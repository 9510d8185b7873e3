//! The answer to a packet that goes no further: a TCP RST, or an ICMP error. It is made of the packet
//! itself, turned round.

use crate::{
    exception::Exception,
    maps,
    packet::{Family, Headers, Icmp, MAX_NETWORK_LENGTH, Packet, Ports, Tcp, pseudo_header_tail},
};
use svc_lb_common::{
    checksum,
    connection::TcpFlags,
    counters::DropReason,
    flow::{SCTP, TCP},
    fragment::Piece,
};

/// How many 32-bit words of a packet an ICMP error quotes at the most: its IP header with all that may
/// follow it, and eight bytes of the transport header, which hold the ports (RFC 792).
const QUOTED_WORDS: usize = (MAX_NETWORK_LENGTH + 8) / size_of::<u32>();

/// Tells the packet's sender why it goes no further. An exception that its sender is not told of stays
/// as it is.
#[inline(always)]
pub fn to<P: Packet, A: Family>(
    packet: &P,
    headers: &Headers<A>,
    exception: Exception,
) -> Result<P::Verdict, Exception> {
    let (kind, source, mtu) = match exception {
        // There is nothing to answer: whoever ends a connection does not wait for any.
        Exception::Reject if headers.tcp_flags().has(TcpFlags::RST) => {
            return Err(Exception::Drop(DropReason::StrayReset));
        }
        // A RST is made of a whole segment.
        Exception::Reject if headers.key.protocol == TCP && headers.piece == Piece::Whole => {
            return reset(packet, headers);
        }
        Exception::Reject => (A::PORT_UNREACHABLE, headers.key.tuple.destination, 0),
        Exception::TimeExceeded => (A::TIME_EXCEEDED, node_address(packet)?, 0),
        Exception::TooLong => {
            let mtu = maps::scratch::<A>().ok_or(Exception::NotOurs)?.next_hop.mtu.into();
            (A::TOO_LONG, node_address(packet)?, mtu)
        }
        other => return Err(other),
    };
    icmp_error(packet, headers, kind, source, mtu)
}

/// The address under which this node speaks to whoever sent the packet, as a router does.
#[inline(always)]
fn node_address<P: Packet, A: Family>(packet: &P) -> Result<A, Exception> {
    let addresses = match maps::interface(packet.ifindex()) {
        Some(interface) => &interface.addresses,
        None => &maps::settings().ok_or(NO_ADDRESS)?.node,
    };
    let address = A::of(addresses);
    if address.is_unspecified() { Err(NO_ADDRESS) } else { Ok(address) }
}

/// The node has no address to speak from.
const NO_ADDRESS: Exception = Exception::Drop(DropReason::NoNodeAddress);

/// Turns a TCP segment into the RST that answers it (RFC 9293, 3.5.2). IP options and extension headers
/// stay where they are, so that the transport header does too.
#[inline(always)]
fn reset<P: Packet, A: Family>(packet: &P, headers: &Headers<A>) -> Result<P::Verdict, Exception> {
    let segment: Tcp = packet.load(headers.transport())?;
    let header_length = u32::from(segment.data_offset >> 4) * 4;
    let data = headers.length + P::NETWORK as u32 - headers.transport() as u32 - header_length;
    let control =
        u32::from(headers.tcp_flags().has(TcpFlags::SYN)) + u32::from(headers.tcp_flags().has(TcpFlags::FIN));
    let (sequence, acknowledgement, flags) = if headers.tcp_flags().has(TcpFlags::ACK) {
        (segment.acknowledgement, [0; 2], TcpFlags::RST)
    } else {
        let next = u32::from_be(join(segment.sequence)).wrapping_add(data + control);
        ([0; 2], split(next.to_be()), TcpFlags::RST | TcpFlags::ACK)
    };
    let answer = Tcp {
        ports: Ports { source: segment.ports.destination, destination: segment.ports.source },
        sequence,
        acknowledgement,
        data_offset: (size_of::<Tcp>() as u8 / 4) << 4,
        flags,
        window: 0,
        checksum: 0,
        urgent: 0,
    };
    let length = headers.transport() + size_of::<Tcp>();
    packet.truncate(length as u32)?;
    A::turned(packet, (length - P::NETWORK) as u16)?;
    packet.store(headers.transport(), &answer)?;
    let pseudo_header =
        headers.key.tuple.address_sum() + pseudo_header_tail(TCP as u8, size_of::<Tcp>() as u16);
    packet.set_transport_checksum(headers.checksum(), pseudo_header, sum(&answer))?;
    packet.send_back()
}

/// What a TCP header adds to a checksum.
#[inline(always)]
fn sum(header: &Tcp) -> u64 {
    u64::from(header.ports.source)
        + u64::from(header.ports.destination)
        + u64::from(join(header.sequence))
        + u64::from(join(header.acknowledgement))
        + u64::from(u16::from_ne_bytes([header.data_offset, header.flags]))
        + u64::from(header.window)
        + u64::from(header.checksum)
        + u64::from(header.urgent)
}

/// Two half words, as they stand in memory, as one.
#[inline(always)]
fn join([a, b]: [u16; 2]) -> u32 {
    u32::from(a) | (u32::from(b) << 16)
}

/// A word as two halves, as they stand in memory.
#[inline(always)]
fn split(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}

/// Turns a packet into the ICMP error that quotes it.
#[inline(always)]
fn icmp_error<P: Packet, A: Family>(
    packet: &P,
    headers: &Headers<A>,
    (kind, code): (u8, u8),
    source: A,
    mtu: u32,
) -> Result<P::Verdict, Exception> {
    // Whole words: a trailing byte more or less tells the sender nothing.
    let quoted = headers.length.min(QUOTED_WORDS as u32 * 4) & !3;
    // That of SCTP is summed up as it stands: zero, if nobody has completed it. The kernel completes what an
    // interface cannot, which those between pods can.
    let partial = headers.key.protocol != SCTP && packet.has_partial_checksum(headers.checksum())?;
    packet.truncate(P::NETWORK as u32 + quoted)?;
    let quote = quote_sum(packet, headers, P::NETWORK + quoted as usize, partial)?;

    let length = size_of::<Icmp>() as u16 + quoted as u16;
    let destination = headers.key.tuple.source;
    let mut icmp = Icmp { kind, code, checksum: 0, mtu: mtu.to_be() };
    let sum = u64::from(u16::from_ne_bytes([kind, code]))
        + u64::from(icmp.mtu)
        + quote
        + A::icmp_pseudo_header(source, destination, length);
    icmp.checksum = !checksum::fold(sum);

    packet.grow(A::HEADER_LENGTH as u32 + size_of::<Icmp>() as u32)?;
    packet.store(P::NETWORK, &A::header(source, destination, A::ICMP, length))?;
    packet.store(P::NETWORK + A::HEADER_LENGTH, &icmp)?;
    packet.send_back()
}

/// What the quoted packet, up to `end`, adds to the checksum of the error. Where its own checksum is
/// still to be completed, the kernel will make the transport part sum up to the complement of what the
/// field holds now.
#[inline(always)]
fn quote_sum<P: Packet, A: Family>(
    packet: &P,
    headers: &Headers<A>,
    end: usize,
    partial: bool,
) -> Result<u64, Exception> {
    let (mut sum, end) = if partial {
        let field: u16 = packet.load(headers.checksum())?;
        (u64::from(!field), headers.transport())
    } else {
        (0, end)
    };
    let mut offset = P::NETWORK;
    for _ in 0..QUOTED_WORDS {
        if offset >= end {
            break;
        }
        sum += u64::from(packet.load::<u32>(offset)?);
        offset += size_of::<u32>();
    }
    Ok(sum)
}
