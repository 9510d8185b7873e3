//! What is parsed of a packet.

use super::{Family, Packet, ip::MAX_NETWORK_LENGTH};
use crate::{exception::Exception, maps};
use svc_lb_common::{
    address::{Be16, Tuple},
    flow::{FlowKey, Hook, TCP, TcpFlags, UDP},
};

/// Length of an Ethernet header, in bytes.
pub const ETHERNET_LENGTH: usize = size_of::<Ethernet>();

/// An Ethernet header, in words for wide loads.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ethernet {
    /// Destination address.
    pub destination: [u16; 3],
    /// Source address.
    pub source: [u16; 3],
    /// EtherType.
    pub ether_type: u16,
}

impl Ethernet {
    /// Whether the frame is addressed so; word by word: a comparison of arrays would become a call to
    /// `bcmp`, a byte loop in BPF.
    #[inline(always)]
    pub fn is_for(&self, [x, y, z]: [u16; 3]) -> bool {
        let [a, b, c] = self.destination;
        (a ^ x) | (b ^ y) | (c ^ z) == 0
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
    /// Offset of the transport header. A byte, which bounds it for the verifier.
    transport: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// The flags of a TCP header; none for UDP.
    tcp_flags: u8,
}

const _: () = assert!(ETHERNET_LENGTH + MAX_NETWORK_LENGTH <= u8::MAX as usize);

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
struct Udp {
    ports: Ports,
    length: u16,
    checksum: u16,
}

/// The ports, which TCP and UDP headers begin with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ports {
    pub source: u16,
    pub destination: u16,
}

impl<A: Family> Headers<A> {
    /// Offset of the transport header.
    #[inline(always)]
    pub fn transport(&self) -> usize {
        usize::from(self.transport)
    }

    /// The flags of a TCP header; none for UDP.
    #[inline(always)]
    pub fn tcp_flags(&self) -> TcpFlags {
        TcpFlags(self.tcp_flags)
    }

    /// Offset of the transport checksum.
    #[inline(always)]
    pub fn checksum(&self) -> usize {
        let field = if self.key.protocol == TCP {
            core::mem::offset_of!(Tcp, checksum)
        } else {
            core::mem::offset_of!(Udp, checksum)
        };
        self.transport() + field
    }

    /// Whether the packet asks for a new connection.
    #[inline(always)]
    pub fn is_opening(&self) -> bool {
        self.key.protocol != TCP || self.tcp_flags().is_opening()
    }
}

/// Parses a frame; [`Exception::NotOurs`] if it is malformed, a fragment, or neither TCP nor UDP.
#[inline(never)]
pub fn parse<P: Packet, A: Family>(packet: P, hook: Hook) -> Result<&'static Headers<A>, Exception> {
    packet.pull(P::NETWORK + A::HEADER_LENGTH + size_of::<Udp>());
    let network = A::parse(&packet, P::NETWORK)?;
    let frame = P::NETWORK + network.length as usize;
    // The first comparison costs nothing, and decides for all packets but those in pieces.
    if frame > packet.end() - packet.start() && frame > packet.length() as usize {
        return Err(Exception::NotOurs);
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
            if length < size_of::<Udp>() || length > payload {
                return Err(Exception::NotOurs);
            }
            (udp.ports, TcpFlags(0))
        }
        _ => return Err(Exception::NotOurs),
    };
    let headers = maps::headers::<A>().ok_or(Exception::NotOurs)?;
    *headers = Headers {
        key: FlowKey {
            tuple: Tuple {
                source: network.source,
                destination: network.destination,
                source_port: Be16::from_raw(ports.source),
                destination_port: Be16::from_raw(ports.destination),
            },
            protocol: u16::from(network.protocol),
            hook: hook as u16,
        },
        length: network.length,
        transport: transport as u8,
        hop_limit: network.hop_limit,
        tcp_flags: tcp_flags.0,
    };
    Ok(headers)
}
