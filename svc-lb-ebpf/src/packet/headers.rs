//! What is parsed of a packet.

use super::{
    Family, Packet,
    ip::{MAX_NETWORK_LENGTH, Network},
    sctp::{self, Chunk, Sctp},
};
use crate::{exception::Exception, maps};
use svc_lb_common::{
    address::Tuple,
    connection::TcpFlags,
    flow::{FlowKey, Hook, SCTP, TCP, UDP},
    fragment::Piece,
    link::{LinkAddress, LinkAddresses},
    sctp::flags,
};

/// Length of an Ethernet header, in bytes.
pub const ETHERNET_LENGTH: usize = size_of::<Ethernet>();

/// An Ethernet header, whose addresses are [`LinkAddresses`] where they are read or written by themselves.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ethernet {
    /// Destination address.
    pub destination: LinkAddress,
    /// Source address.
    pub source: LinkAddress,
    /// EtherType.
    pub ether_type: u16,
}

impl Ethernet {
    /// A header with these addresses.
    #[inline(always)]
    pub fn new(link: LinkAddresses, ether_type: u16) -> Self {
        Self { destination: link.destination(), source: link.source(), ether_type }
    }
}

/// The headers of a packet that may concern svc-lb.
///
/// They are kept in a map: what the verifier knows of a number is forgotten there, so that it need not
/// follow the rest of the program once for every way in which a packet can be parsed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Headers<A> {
    /// Addresses, ports and protocol, at the hook: the key of the packet's flow.
    pub key: FlowKey<A>,
    /// Bytes from the IP header on.
    pub length: u32,
    /// What a fragment's datagram is known by, as it stands there.
    pub identification: u32,
    /// Offset of the transport header. A byte, which bounds it for the verifier.
    transport: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// The flags of a TCP header; what SCTP means as such; none for UDP.
    tcp_flags: u8,
    /// Whether it is a fragment.
    pub piece: Piece,
}

// Of a packet, and of the packet that an ICMP error quotes.
const _: () = assert!(ETHERNET_LENGTH + 2 * MAX_NETWORK_LENGTH + size_of::<Icmp>() <= u8::MAX as usize);

/// The header of an ICMP or ICMPv6 message (RFC 792, RFC 4443).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub checksum: u16,
    /// The MTU of the way, in an error about a packet that is longer (RFC 1191, RFC 4443); in an echo what
    /// tells it from others.
    pub mtu: u32,
}

/// A TCP header without options (RFC 9293).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Tcp {
    /// Ports.
    pub ports: Ports,
    /// Sequence number, a word in two halves: it may stand at any even address.
    pub sequence: [u16; 2],
    /// Acknowledgement number, likewise.
    pub acknowledgement: [u16; 2],
    /// Length of the header in words of 32 bits, in the upper half.
    pub data_offset: u8,
    /// [`TcpFlags`].
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Checksum.
    pub checksum: u16,
    /// Urgent pointer.
    pub urgent: u16,
}

/// A UDP header (RFC 768).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Udp {
    /// Ports.
    pub ports: Ports,
    /// Bytes from this header on.
    pub length: u16,
    /// Checksum.
    pub checksum: u16,
}

/// The ports, which TCP, UDP and SCTP headers begin with. Loaded and stored as one word.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
pub struct Ports {
    pub source: u16,
    pub destination: u16,
}

/// Stores a word of two halves at once.
///
/// # Safety
/// The word must be valid for writes.
#[inline(always)]
unsafe fn set_word(word: *mut u32, first: u16, second: u16) {
    let [a, b] = first.to_ne_bytes();
    let [c, d] = second.to_ne_bytes();
    // SAFETY: the caller's. Volatile, or the compiler stores the halves after all.
    unsafe { core::ptr::write_volatile(word, u32::from_ne_bytes([a, b, c, d])) }
}

impl Ports {
    /// Those of a tuple.
    #[inline(always)]
    pub fn of<A>(tuple: &Tuple<A>) -> Self {
        Self { source: tuple.source_port.raw(), destination: tuple.destination_port.raw() }
    }
}

impl<A: Family> Headers<A> {
    /// Keeps what was parsed. The halves of the key's words are stored as one each: the kernel hashes the key in
    /// words, and a processor that loads what two stores under way have written waits for both.
    #[inline(always)]
    fn set(&mut self, network: &Network<A>, ports: Ports, tcp_flags: TcpFlags, hook: u16) {
        let tuple = &mut self.key.tuple;
        tuple.source = network.source;
        tuple.destination = network.destination;
        // SAFETY: both ports, and the protocol and the hook, follow each other without padding, at multiples of
        // four bytes.
        unsafe {
            set_word((&raw mut tuple.source_port).cast(), ports.source, ports.destination);
            set_word((&raw mut self.key.protocol).cast(), u16::from(network.protocol), hook);
        }
        self.length = network.length;
        self.identification = network.identification;
        self.transport = network.transport as u8;
        self.hop_limit = network.hop_limit;
        self.tcp_flags = tcp_flags.0;
        self.piece = network.piece;
    }

    /// Offset of the transport header.
    #[inline(always)]
    pub fn transport(&self) -> usize {
        usize::from(self.transport)
    }

    /// The flags of a TCP header; what the first chunk of SCTP means as such; none for UDP.
    #[inline(always)]
    pub fn tcp_flags(&self) -> TcpFlags {
        TcpFlags(self.tcp_flags)
    }

    /// Offset of the checksum of TCP or UDP.
    #[inline(always)]
    pub fn checksum(&self) -> usize {
        let field = if self.key.protocol == TCP {
            core::mem::offset_of!(Tcp, checksum)
        } else {
            core::mem::offset_of!(Udp, checksum)
        };
        self.transport() + field
    }

    /// Offset of the checksum of SCTP.
    #[inline(always)]
    pub fn sctp_checksum(&self) -> usize {
        self.transport() + core::mem::offset_of!(Sctp, checksum)
    }

    /// Whether the packet asks for a new connection.
    #[inline(always)]
    pub fn is_opening(&self) -> bool {
        self.key.protocol == UDP || self.tcp_flags().is_opening()
    }

    /// Whether the packet may belong to a connection that both sides have opened.
    #[inline(always)]
    pub fn is_continuing(&self) -> bool {
        let flags = self.tcp_flags();
        self.key.protocol == TCP && flags.has(TcpFlags::ACK) && !flags.has(TcpFlags::SYN | TcpFlags::RST)
    }
}

/// Parses a frame; [`Exception::NotOurs`] if it is malformed, or neither TCP, UDP nor SCTP. In tc an ICMP
/// message and a later fragment are [`Exception::Related`], and what was parsed of them is kept; in XDP they are not
/// ours either, as no fragment is.
#[inline(always)]
pub fn parse<P: Packet, A: Family>(packet: P, hook: Hook) -> Result<&'static Headers<A>, Exception> {
    packet.pull(P::NETWORK + A::HEADER_LENGTH + size_of::<Udp>());
    let network = A::parse(&packet, P::NETWORK)?;
    let frame = P::NETWORK + network.length as usize;
    // The first comparison costs nothing, and decides for all packets but those in pieces.
    if frame > packet.end() - packet.start() && frame > packet.length() as usize {
        return Err(Exception::NotOurs);
    }
    if network.piece == Piece::Later {
        return related(&network, hook);
    }
    let transport = network.transport;
    let payload = frame.checked_sub(transport).ok_or(Exception::NotOurs)?;
    let (ports, tcp_flags) = match u16::from(network.protocol) {
        TCP => {
            packet.pull(transport + size_of::<Tcp>());
            let tcp: Tcp = packet.load(transport)?;
            let header_length = usize::from(tcp.data_offset >> 4) * 4;
            if header_length < size_of::<Tcp>() || header_length > payload {
                return Err(Exception::NotOurs);
            }
            (tcp.ports, TcpFlags(tcp.flags))
        }
        UDP => {
            packet.pull(transport + size_of::<Udp>());
            let udp: Udp = packet.load(transport)?;
            let length = usize::from(u16::from_be(udp.length));
            // A first fragment holds less than the length says, but all of the header.
            let is_first = network.piece == Piece::First && payload >= size_of::<Udp>();
            if length < size_of::<Udp>() || length > payload && !is_first {
                return Err(Exception::NotOurs);
            }
            (udp.ports, TcpFlags(0))
        }
        SCTP => {
            packet.pull(transport + size_of::<Sctp>());
            let sctp: Sctp = packet.load(transport)?;
            if payload < sctp::SHORTEST {
                return Err(Exception::NotOurs);
            }
            let chunk: Chunk = packet.peek(transport + size_of::<Sctp>())?;
            (sctp.ports, flags(chunk.kind))
        }
        protocol if protocol == u16::from(A::ICMP) && !P::TC_FOLLOWS => return related(&network, hook),
        _ => return Err(Exception::NotOurs),
    };
    let headers = maps::headers::<A>().ok_or(Exception::NotOurs)?;
    headers.set(&network, ports, tcp_flags, hook as u16);
    Ok(headers)
}

/// Keeps the headers of a packet that has no ports of its own.
#[inline(always)]
fn related<A: Family>(network: &Network<A>, hook: Hook) -> Result<&'static Headers<A>, Exception> {
    let headers = maps::headers::<A>().ok_or(Exception::NotOurs)?;
    headers.set(network, Ports { source: 0, destination: 0 }, TcpFlags(0), hook as u16);
    Err(Exception::Related)
}

/// Parses the packet that an ICMP error quotes, up to its ports and no further: the rest may be cut off.
/// [`Exception::NotOurs`] if the message is no error, or if the quote is malformed, has no ports, or is
/// neither TCP, UDP nor SCTP.
#[inline(never)]
pub fn parse_quoted<P: Packet, A: Family>(
    packet: P,
    error: &Headers<A>,
) -> Result<&'static Headers<A>, Exception> {
    let offset = error.transport() + size_of::<Icmp>();
    reach(packet, offset + A::HEADER_LENGTH + size_of::<Udp>());
    let icmp: Icmp = packet.load(error.transport())?;
    if error.piece != Piece::Whole || !A::is_icmp_error(icmp.kind) {
        return Err(Exception::NotOurs);
    }
    let network = A::parse(&packet, offset)?;
    let protocol = u16::from(network.protocol);
    let end = P::NETWORK + error.length as usize;
    if network.piece == Piece::Later
        || protocol != TCP && protocol != UDP && protocol != SCTP
        || network.transport + size_of::<Udp>() > end
    {
        return Err(Exception::NotOurs);
    }
    reach(packet, network.transport + size_of::<Tcp>());
    let ports = packet.load(network.transport)?;
    let headers = maps::quoted_headers::<A>().ok_or(Exception::NotOurs)?;
    headers.set(&network, ports, TcpFlags(0), error.key.hook);
    Ok(headers)
}

/// [`Packet::pull`] with a frame of its own: the verifier bears what the compiler makes of it among other
/// reads of a packet only as long as those are few.
#[inline(never)]
pub fn reach<P: Packet>(packet: P, length: usize) {
    packet.pull(length);
}
