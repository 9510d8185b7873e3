//! What differs between IPv4 (RFC 791) and IPv6 (RFC 8200) on the wire.

use super::Packet;
use crate::{exception::Exception, maps::Maps};
use aya_ebpf::bindings::bpf_fib_lookup;
use network_types::{eth::EtherType, ip::IpProto};
use svc_lb_common::{
    address::{Address, Ipv4, Ipv6, Tuple},
    checksum,
    fragment::Piece,
};

/// How many extension headers of an IPv6 packet are walked before it is left to the host.
const MAX_EXTENSION_HEADERS: usize = 6;
/// How many bytes of extension headers a packet may have before it is left to the host.
const MAX_EXTENSION_BYTES: usize = 64;
/// How many bytes may stand before the transport header, from the start of the IP header.
pub const MAX_NETWORK_LENGTH: usize = Ipv6::HEADER_LENGTH + MAX_EXTENSION_BYTES;

/// What an IP header says.
pub struct Network<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// Offset of the transport header; in a later fragment, of what it carries.
    pub transport: usize,
    /// Whether it is a fragment.
    pub piece: Piece,
    /// What a fragment's datagram is known by, as it stands there; in a whole packet it means nothing.
    pub identification: u32,
    /// The protocol of the transport header.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Bytes from the IP header on, as the header says.
    pub length: u32,
}

/// An IP family on the wire.
pub trait Family: Maps {
    /// The EtherType, as a load from a frame gives it.
    const ETHER_TYPE: u16;
    /// The address family's number, for the routing helpers.
    const AF: u8;
    /// The protocol number of ICMP.
    const ICMP: u8;
    /// ICMP type and code of port unreachable.
    const PORT_UNREACHABLE: (u8, u8);
    /// ICMP type and code of a TTL or hop limit that ended in transit.
    const TIME_EXCEEDED: (u8, u8);
    /// Type of the ICMP message that asks for an echo.
    const ECHO_REQUEST: u8;
    /// Type of the echo.
    const ECHO_REPLY: u8;
    /// ICMP type and code of a packet that is longer than the way takes.
    const TOO_LONG: (u8, u8);

    /// The part of the header that a rewrite changes, without holes.
    type Rewritten: Copy;
    /// Where that part begins, from the start of the header.
    const REWRITTEN_OFFSET: usize;

    /// A whole header, without options.
    type Header: Copy;

    /// Parses the header at an offset. XDP leaves every fragment to tc.
    fn parse<P: Packet>(packet: &P, offset: usize) -> Result<Network<Self>, Exception>;

    /// The changed part with other addresses, and `hops` taken off the hop limit. `difference`: what the change of
    /// addresses adds to a checksum ([`checksum::difference`]).
    fn rewritten(old: Self::Rewritten, to: &Tuple<Self>, difference: u16, hops: u8) -> Self::Rewritten;

    /// What its addresses add to a checksum.
    fn address_sum(rewritten: &Self::Rewritten) -> u64;

    /// [`Self::rewritten`] where no flow knows the difference.
    #[inline(always)]
    fn readdressed(old: Self::Rewritten, to: &Tuple<Self>, hops: u8) -> Self::Rewritten {
        let difference = checksum::difference(Self::address_sum(&old), to.address_sum());
        Self::rewritten(old, to, difference, hops)
    }

    /// The header of a packet that svc-lb makes, with so many bytes behind it.
    fn header(source: Self, destination: Self, protocol: u8, payload: u16) -> Self::Header;

    /// The header of a packet that was cut and turned round: `old` with its source and destination
    /// exchanged and so many bytes from the IP header on.
    fn turned<P: Packet>(packet: &P, length: u16) -> Result<(), Exception>;

    /// What the pseudo-header of an ICMP message of so many bytes adds to its checksum: nothing in IPv4.
    fn icmp_pseudo_header(source: Self, destination: Self, length: u16) -> u64;

    /// Whether an ICMP message of this type is an error, which quotes the packet that it is about, and not
    /// a redirect, which concerns the link alone.
    fn is_icmp_error(kind: u8) -> bool;

    /// What the addresses of an ICMP message, or of a packet that it quotes, add to its checksum: nothing
    /// in IPv4, where a header's own checksum makes up for its addresses and there is no pseudo-header.
    fn icmp_addresses(addresses: &Tuple<Self>) -> u64;

    /// Writes source and destination into a routing query.
    fn query(query: &mut bpf_fib_lookup, tuple: &Tuple<Self>);
}

/// The 32 bits that end a pseudo-header: length and protocol, in the byte order of the packet.
#[inline(always)]
pub fn pseudo_header_tail(protocol: u8, length: u16) -> u64 {
    u64::from(length.to_be()) + u64::from(u16::from(protocol).to_be())
}

/// The default TTL and hop limit of a packet that svc-lb makes.
const HOP_LIMIT: u8 = 64;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv4Header {
    version_length: u8,
    service: u8,
    total_length: u16,
    identification: u16,
    fragment: u16,
    rewritten: Ipv4Rewritten,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv4Rewritten {
    ttl: u8,
    protocol: u8,
    checksum: u16,
    source: u32,
    destination: u32,
}

impl Ipv4Rewritten {
    /// The word that holds TTL and protocol.
    #[inline(always)]
    fn first_word(&self) -> u64 {
        u64::from(u16::from_ne_bytes([self.ttl, self.protocol]))
    }
}

impl Family for Ipv4 {
    const ETHER_TYPE: u16 = EtherType::Ipv4 as u16;
    const AF: u8 = 2;
    const ICMP: u8 = IpProto::Icmp as u8;
    const PORT_UNREACHABLE: (u8, u8) = (3, 3);
    const TIME_EXCEEDED: (u8, u8) = (11, 0);
    const ECHO_REQUEST: u8 = 8;
    const ECHO_REPLY: u8 = 0;
    const TOO_LONG: (u8, u8) = (3, 4);

    type Rewritten = Ipv4Rewritten;
    const REWRITTEN_OFFSET: usize = 8;
    type Header = Ipv4Header;

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, offset: usize) -> Result<Network<Self>, Exception> {
        let header: Ipv4Header = packet.load(offset)?;
        let header_length = usize::from(header.version_length & 0xf) * 4;
        if header.version_length >> 4 != Self::VERSION || header_length < Self::HEADER_LENGTH {
            return Err(Exception::NotOurs);
        }
        let piece = Piece::of_ipv4(header.fragment);
        if P::TC_FOLLOWS && piece != Piece::Whole {
            return Err(Exception::NotOurs);
        }
        Ok(Network {
            source: Self(header.rewritten.source),
            destination: Self(header.rewritten.destination),
            transport: offset + header_length,
            piece,
            identification: header.identification.into(),
            protocol: header.rewritten.protocol,
            hop_limit: header.rewritten.ttl,
            length: real_length(packet, u32::from(u16::from_be(header.total_length)), 0),
        })
    }

    #[inline(always)]
    fn rewritten(old: Ipv4Rewritten, to: &Tuple<Self>, difference: u16, hops: u8) -> Ipv4Rewritten {
        let mut new = Ipv4Rewritten {
            ttl: old.ttl.wrapping_sub(hops),
            source: to.source.0,
            destination: to.destination.0,
            ..old
        };
        let hops = u32::from(!(old.first_word() as u16)) + new.first_word() as u32;
        new.checksum = checksum::add(old.checksum, u32::from(difference) + hops);
        new
    }

    #[inline(always)]
    fn address_sum(rewritten: &Ipv4Rewritten) -> u64 {
        u64::from(rewritten.source) + u64::from(rewritten.destination)
    }

    #[inline(always)]
    fn header(source: Self, destination: Self, protocol: u8, payload: u16) -> Ipv4Header {
        let mut header = Ipv4Header {
            version_length: 0x45,
            service: 0,
            total_length: (payload + Self::HEADER_LENGTH as u16).to_be(),
            identification: 0,
            fragment: 0,
            rewritten: Ipv4Rewritten {
                ttl: HOP_LIMIT,
                protocol,
                checksum: 0,
                source: source.0,
                destination: destination.0,
            },
        };
        header.rewritten.checksum = !checksum::fold(
            u64::from(u16::from_ne_bytes([header.version_length, header.service]))
                + u64::from(header.total_length)
                + header.rewritten.first_word()
                + source.sum()
                + destination.sum(),
        );
        header
    }

    #[inline(always)]
    fn turned<P: Packet>(packet: &P, length: u16) -> Result<(), Exception> {
        let old: Ipv4Header = packet.load(P::NETWORK)?;
        let mut new = Ipv4Header { total_length: length.to_be(), ..old };
        new.rewritten.ttl = HOP_LIMIT;
        new.rewritten.source = old.rewritten.destination;
        new.rewritten.destination = old.rewritten.source;
        new.rewritten.checksum = checksum::update(
            old.rewritten.checksum,
            u64::from(old.total_length) + old.rewritten.first_word(),
            u64::from(new.total_length) + new.rewritten.first_word(),
        );
        packet.store(P::NETWORK, &new)
    }

    #[inline(always)]
    fn icmp_pseudo_header(_source: Self, _destination: Self, _length: u16) -> u64 {
        0
    }

    #[inline(always)]
    fn is_icmp_error(kind: u8) -> bool {
        /// Destination unreachable, time exceeded, parameter problem (RFC 792).
        const ERRORS: [u8; 3] = [3, 11, 12];
        let [unreachable, time_exceeded, parameter_problem] = ERRORS;
        kind == unreachable || kind == time_exceeded || kind == parameter_problem
    }

    #[inline(always)]
    fn icmp_addresses(_addresses: &Tuple<Self>) -> u64 {
        0
    }

    #[inline(always)]
    fn query(query: &mut bpf_fib_lookup, tuple: &Tuple<Self>) {
        query.__bindgen_anon_3.ipv4_src = tuple.source.0;
        query.__bindgen_anon_4.ipv4_dst = tuple.destination.0;
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv6Header {
    version_class_flow: u32,
    rewritten: Ipv6Rewritten,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv6Rewritten {
    payload_length: u16,
    next_header: u8,
    hop_limit: u8,
    source: [u32; 4],
    destination: [u32; 4],
}

/// The extension header of a fragment (RFC 8200, 4.5).
#[repr(C)]
#[derive(Clone, Copy)]
struct FragmentHeader {
    next_header: u8,
    reserved: u8,
    offset: u16,
    identification: u32,
}

/// The first two bytes of every other extension header that may stand before the transport header.
#[repr(C)]
#[derive(Clone, Copy)]
struct ExtensionHeader {
    next_header: u8,
    /// In units of eight bytes, without the first eight.
    length: u8,
}

impl Family for Ipv6 {
    const ETHER_TYPE: u16 = EtherType::Ipv6 as u16;
    const AF: u8 = 10;
    const ICMP: u8 = IpProto::Ipv6Icmp as u8;
    const PORT_UNREACHABLE: (u8, u8) = (1, 4);
    const TIME_EXCEEDED: (u8, u8) = (3, 0);
    const ECHO_REQUEST: u8 = 128;
    const ECHO_REPLY: u8 = 129;
    const TOO_LONG: (u8, u8) = (2, 0);

    type Rewritten = Ipv6Rewritten;
    const REWRITTEN_OFFSET: usize = 4;
    type Header = Ipv6Header;

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, offset: usize) -> Result<Network<Self>, Exception> {
        const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
        const ROUTING: u8 = IpProto::Ipv6Route as u8;
        const DESTINATION: u8 = IpProto::Ipv6Opts as u8;
        const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;

        let header: Ipv6Header = packet.load(offset)?;
        if header.version_class_flow.to_be() >> 28 != u32::from(Self::VERSION) {
            return Err(Exception::NotOurs);
        }
        let mut protocol = header.rewritten.next_header;
        let mut extensions = 0;
        for _ in 0..MAX_EXTENSION_HEADERS {
            if protocol != HOP_BY_HOP && protocol != ROUTING && protocol != DESTINATION {
                break;
            }
            let at = offset + Self::HEADER_LENGTH + extensions;
            packet.pull(at + size_of::<ExtensionHeader>());
            let extension: ExtensionHeader = packet.load(at)?;
            protocol = extension.next_header;
            extensions += (usize::from(extension.length) + 1) * 8;
            if extensions > MAX_EXTENSION_BYTES {
                return Err(Exception::NotOurs);
            }
        }
        let (mut piece, mut identification) = (Piece::Whole, 0);
        if protocol == FRAGMENT && !P::TC_FOLLOWS {
            let at = offset + Self::HEADER_LENGTH + extensions;
            packet.pull(at + size_of::<FragmentHeader>());
            let fragment: FragmentHeader = packet.load(at)?;
            piece = Piece::of_ipv6(fragment.offset);
            identification = fragment.identification;
            // Behind it stands the transport header: only there all fragments show its protocol.
            protocol = fragment.next_header;
            extensions += size_of::<FragmentHeader>();
            if extensions > MAX_EXTENSION_BYTES {
                return Err(Exception::NotOurs);
            }
        }
        let payload = u32::from(u16::from_be(header.rewritten.payload_length));
        Ok(Network {
            source: Self(header.rewritten.source),
            destination: Self(header.rewritten.destination),
            transport: offset + Self::HEADER_LENGTH + extensions,
            piece,
            identification,
            protocol,
            hop_limit: header.rewritten.hop_limit,
            length: real_length(packet, payload, Self::HEADER_LENGTH as u32),
        })
    }

    #[inline(always)]
    fn rewritten(old: Ipv6Rewritten, to: &Tuple<Self>, _difference: u16, hops: u8) -> Ipv6Rewritten {
        Ipv6Rewritten {
            hop_limit: old.hop_limit.wrapping_sub(hops),
            source: to.source.0,
            destination: to.destination.0,
            ..old
        }
    }

    #[inline(always)]
    fn address_sum(rewritten: &Ipv6Rewritten) -> u64 {
        Self(rewritten.source).sum() + Self(rewritten.destination).sum()
    }

    #[inline(always)]
    fn header(source: Self, destination: Self, protocol: u8, payload: u16) -> Ipv6Header {
        Ipv6Header {
            version_class_flow: (u32::from(Self::VERSION) << 28).to_be(),
            rewritten: Ipv6Rewritten {
                payload_length: payload.to_be(),
                next_header: protocol,
                hop_limit: HOP_LIMIT,
                source: source.0,
                destination: destination.0,
            },
        }
    }

    #[inline(always)]
    fn turned<P: Packet>(packet: &P, length: u16) -> Result<(), Exception> {
        let old: Ipv6Header = packet.load(P::NETWORK)?;
        let rewritten = Ipv6Rewritten {
            payload_length: (length - Self::HEADER_LENGTH as u16).to_be(),
            next_header: old.rewritten.next_header,
            hop_limit: HOP_LIMIT,
            source: old.rewritten.destination,
            destination: old.rewritten.source,
        };
        packet.store(P::NETWORK, &Ipv6Header { rewritten, ..old })
    }

    #[inline(always)]
    fn icmp_pseudo_header(source: Self, destination: Self, length: u16) -> u64 {
        source.sum() + destination.sum() + pseudo_header_tail(Self::ICMP, length)
    }

    #[inline(always)]
    fn is_icmp_error(kind: u8) -> bool {
        /// Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443).
        const ERRORS: core::ops::RangeInclusive<u8> = 1..=4;
        ERRORS.contains(&kind)
    }

    #[inline(always)]
    fn icmp_addresses(addresses: &Tuple<Self>) -> u64 {
        addresses.address_sum()
    }

    #[inline(always)]
    fn query(query: &mut bpf_fib_lookup, tuple: &Tuple<Self>) {
        query.__bindgen_anon_3.ipv6_src = tuple.source.0;
        query.__bindgen_anon_4.ipv6_dst = tuple.destination.0;
    }
}

/// The bytes from the IP header on. A header cannot hold the length of a segment of more than 64 KiB
/// that the kernel carries in one piece (BIG TCP), and says 0; XDP leaves that to tc, as it does all that is
/// malformed.
#[inline(always)]
fn real_length<P: Packet>(packet: &P, field: u32, header: u32) -> u32 {
    if P::TC_FOLLOWS {
        return field + header;
    }
    let frame = packet.length();
    if field == 0 && frame > u32::from(u16::MAX) { frame - P::NETWORK as u32 } else { field + header }
}
