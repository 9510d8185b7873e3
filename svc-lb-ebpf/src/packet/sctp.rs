//! What is different about SCTP (RFC 9260): its checksum covers no address, so there is no pseudo-header, but
//! all of the packet, with a CRC. Where ports change, it is corrected without the rest being read.

use super::{Family, Headers, Packet, Ports};
use crate::{exception::Exception, stages};
use svc_lb_common::{address::Tuple, counters::DropReason, flow::SCTP};

/// The common header, which chunks follow.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sctp {
    /// Ports.
    pub ports: Ports,
    /// Verification tag, a word in two halves: it may stand at any even address.
    tag: [u16; 2],
    /// Checksum, likewise.
    pub checksum: Checksum,
}

/// The header of a chunk.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Chunk {
    /// Its type.
    pub kind: u8,
    flags: u8,
    length: u16,
}

/// A checksum as it stands in a packet, its least byte first.
pub type Checksum = [u16; 2];

/// Length of the shortest packet.
pub const SHORTEST: usize = size_of::<Sctp>() + size_of::<Chunk>();

/// Gives an SCTP packet other addresses and ports, and corrects its checksums: what [`Packet::rewrite`]
/// does for TCP and UDP. Nothing within the packet makes up for what changes, so all of it is overwritten.
#[inline(never)]
pub fn rewrite<P: Packet, A: Family>(
    packet: P,
    headers: &Headers<A>,
    to: &Tuple<A>,
    hops: u8,
) -> Result<(), Exception> {
    let network = P::NETWORK + A::REWRITTEN_OFFSET;
    packet.overwrite(network, &A::readdressed(packet.load(network)?, to, hops))?;
    if !headers.key.tuple.ports_differ(to) {
        return Ok(());
    }
    packet.overwrite(headers.transport(), &Ports::of(to))?;
    let field = headers.sctp_checksum();
    let before: Checksum = packet.load(field)?;
    // Whoever completes a checksum computes it with zero in its place, and one in 2³² comes out as zero.
    if before == [0; 2] && packet.has_partial_checksum(field)? {
        return Ok(());
    }
    packet.overwrite(field, &updated(before, headers, P::NETWORK, to))
}

/// The checksum of a packet whose IP header is at an offset, with other ports.
#[inline(always)]
pub fn updated<A: Family>(before: Checksum, headers: &Headers<A>, network: usize, to: &Tuple<A>) -> Checksum {
    let length = headers.length + network as u32 - headers.transport() as u32;
    let before = u32::from_le_bytes(bytes(before));
    let after = stages::update_crc32c(before, ports(&headers.key.tuple), ports(to), length);
    halves(after.to_le_bytes())
}

/// Refuses the first fragment of a packet whose ports are to change: the checksum is in this one, and by
/// how much it changes depends on how long all of them are together.
#[inline(always)]
pub fn check_fragment<A: Family>(headers: &Headers<A>, to: &Tuple<A>) -> Result<(), Exception> {
    if headers.key.protocol == SCTP && headers.key.tuple.ports_differ(to) {
        return Err(Exception::Drop(DropReason::SctpFragment));
    }
    Ok(())
}

/// The ports as they stand in a packet.
#[inline(always)]
fn ports<A>(tuple: &Tuple<A>) -> [u8; 4] {
    bytes([tuple.source_port.raw(), tuple.destination_port.raw()])
}

/// Two half words as the bytes that they are in memory.
#[inline(always)]
fn bytes([a, b]: [u16; 2]) -> [u8; 4] {
    let ([a, b], [c, d]) = (a.to_ne_bytes(), b.to_ne_bytes());
    [a, b, c, d]
}

/// Four bytes of memory as half words.
#[inline(always)]
fn halves([a, b, c, d]: [u8; 4]) -> [u16; 2] {
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])]
}
