//! ICMP and ICMPv6 errors as they are on the wire.

use crate::frame::addresses;
use anyhow::{Result, bail};
use etherparse::{LaxIpSlice, PacketBuilder, PacketHeaders, TransportHeader};
use std::net::{IpAddr, SocketAddr};

/// Type and code of the errors, IPv4's and IPv6's.
pub const PORT_UNREACHABLE: [(u8, u8); 2] = [(3, 3), (1, 4)];
/// TTL or hop limit exceeded in transit.
pub const TIME_EXCEEDED: [(u8, u8); 2] = [(11, 0), (3, 0)];
/// Fragmentation needed; packet too big.
pub const TOO_LONG: [(u8, u8); 2] = [(3, 4), (2, 0)];

/// An error, and the packet that it quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Who says so.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Type and code.
    pub kind: (u8, u8),
    /// Where the quoted packet came from.
    pub quoted_source: SocketAddr,
    /// Where the quoted packet was to go.
    pub quoted_destination: SocketAddr,
    /// The quoted packet from its IP header on, as much as there is.
    pub quote: Vec<u8>,
}

impl IcmpError {
    /// Reads a frame; `None` if it is no error about a packet with ports.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let headers = PacketHeaders::from_ethernet_slice(frame).ok()?;
        let (source, destination) = addresses(&headers.net?)?;
        let bytes = match headers.transport? {
            TransportHeader::Icmpv4(icmp) => icmp.to_bytes().to_vec(),
            TransportHeader::Icmpv6(icmp) => icmp.to_bytes().to_vec(),
            _ => return None,
        };
        let quote = headers.payload.slice().to_vec();
        let (addresses, ports) = quoted(&quote)?;
        Some(Self {
            source,
            destination,
            kind: (bytes[0], bytes[1]),
            quoted_source: SocketAddr::new(addresses[0], ports[0]),
            quoted_destination: SocketAddr::new(addresses[1], ports[1]),
            quote,
        })
    }
}

/// Addresses and ports of a quoted packet, which may be cut off behind its ports.
fn quoted(quote: &[u8]) -> Option<([IpAddr; 2], [u16; 2])> {
    let (ip, _) = LaxIpSlice::from_slice(quote).ok()?;
    let &[a, b, c, d, ..] = ip.payload().payload else { return None };
    let ports = [[a, b], [c, d]].map(u16::from_be_bytes);
    Some(([ip.source_addr(), ip.destination_addr()], ports))
}

/// A frame with an ICMP message of any type, which quotes something.
pub fn message(
    macs: ([u8; 6], [u8; 6]),
    (source, destination): (IpAddr, IpAddr),
    (kind, code): (u8, u8),
    quote: &[u8],
) -> Result<Vec<u8>> {
    const UNUSED: [u8; 4] = [0; 4];
    let link = PacketBuilder::ethernet2(macs.0, macs.1);
    let mut frame = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => link
            .ipv4(source.octets(), destination.octets(), 64)
            .icmpv4_raw(kind, code, UNUSED)
            .write_to_vec(&mut frame, quote)?,
        (IpAddr::V6(source), IpAddr::V6(destination)) => link
            .ipv6(source.octets(), destination.octets(), 64)
            .icmpv6_raw(kind, code, UNUSED)
            .write_to_vec(&mut frame, quote)?,
        _ => bail!("{source} and {destination} are of two families"),
    }
    Ok(frame)
}
