//! A frame with an IP packet, as the RFCs have it: what it says, and what it is with other addresses.

use super::checksum::{after_change, crc32c, internet};
use std::net::{IpAddr, SocketAddr};

/// IP protocol numbers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}
use protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// Length of an Ethernet header.
pub const ETHERNET: usize = 14;
/// Length of an ICMP header.
const ICMP_HEADER: usize = 8;

/// Which part of its datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// All of it.
    Whole,
    /// The first of several, with the transport header.
    First,
    /// Another one.
    Later,
}

/// What a TCP segment does to a connection, or what an SCTP packet's first chunk does to an association.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a packet has any of them")]
pub struct Signal {
    /// SYN; INIT and INIT ACK.
    pub opens: bool,
    /// ACK; all but INIT and what ends an association.
    pub acknowledges: bool,
    /// FIN; SHUTDOWN and its acknowledgement.
    pub finishes: bool,
    /// RST; ABORT and SHUTDOWN COMPLETE.
    pub resets: bool,
}

impl Signal {
    /// Whether it asks for a connection, and does nothing else.
    pub fn only_opens(self) -> bool {
        self == Self { opens: true, ..Self::default() }
    }

    /// By the flags of a TCP header (RFC 9293).
    fn of_segment(flags: u8) -> Self {
        Self {
            finishes: flags & 0x01 != 0,
            opens: flags & 0x02 != 0,
            resets: flags & 0x04 != 0,
            acknowledges: flags & 0x10 != 0,
        }
    }

    /// By the type of a packet's first chunk (RFC 9260).
    fn of_chunk(kind: u8) -> Self {
        let nothing = Self::default();
        match kind {
            1 => Self { opens: true, ..nothing },
            2 => Self { opens: true, acknowledges: true, ..nothing },
            6 | 14 => Self { resets: true, ..nothing },
            7 | 8 => Self { finishes: true, ..nothing },
            _ => Self { acknowledges: true, ..nothing },
        }
    }
}

/// An IP packet, in a frame or quoted by an ICMP error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// All bytes, the link-layer header too.
    pub bytes: Vec<u8>,
    /// Where the IP header begins.
    pub network: usize,
    /// Where the transport header begins.
    pub transport: usize,
    /// Where the packet ends, as its IP header says.
    pub end: usize,
    /// The protocol of the transport header.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Whether it is a fragment.
    pub piece: Piece,
    /// Whether it has IPv6's header for fragments, though it may be whole.
    pub has_fragment_header: bool,
    /// What a fragment's datagram is known by.
    pub identification: u32,
    /// Source and port; port 0 where there is none.
    pub source: SocketAddr,
    /// Destination and port.
    pub destination: SocketAddr,
}

impl Datagram {
    /// The packet of a frame; `None` if it carries none, or a malformed one, or has a VLAN tag.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let version = match frame.get(12..ETHERNET)? {
            [0x08, 0x00] => 4,
            [0x86, 0xdd] => 6,
            _ => return None,
        };
        let datagram = Self::at(frame, ETHERNET, version)?;
        (datagram.end <= frame.len()).then_some(datagram)
    }

    /// The packet that an ICMP error quotes, of which the end may be missing.
    pub fn quoted(&self) -> Option<Self> {
        let version = if self.is_v4() { 4 } else { 6 };
        Self::at(&self.bytes[..self.end], self.transport + ICMP_HEADER, version)
    }

    fn at(bytes: &[u8], network: usize, version: u8) -> Option<Self> {
        let header = bytes.get(network..)?;
        if header.first()? >> 4 != version {
            return None;
        }
        let word = |at: usize| Some(u16::from_be_bytes([*header.get(at)?, *header.get(at + 1)?]));
        let mut datagram = if version == 4 {
            let address = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(header.get(at..at + 4)?).ok()?));
            let fragment = word(6)?;
            Self {
                bytes: bytes.to_vec(),
                network,
                transport: network + usize::from(header[0] & 0xf) * 4,
                end: network + usize::from(word(2)?),
                protocol: *header.get(9)?,
                hop_limit: *header.get(8)?,
                piece: Self::piece(fragment & 0x1fff != 0, fragment & 0x2000 != 0),
                has_fragment_header: false,
                identification: word(4)?.into(),
                source: (address(12)?, 0).into(),
                destination: (address(16)?, 0).into(),
            }
        } else {
            let address =
                |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
            let (mut next, mut at) = (*header.get(6)?, 40);
            let (mut piece, mut has_fragment_header, mut identification) = (Piece::Whole, false, 0);
            while matches!(next, 0 | 43 | 44 | 60) {
                let extension = header.get(at..at + 8)?;
                if next == 44 {
                    let field = word(at + 2)?;
                    piece = Self::piece(field & 0xfff8 != 0, field & 1 != 0);
                    has_fragment_header = true;
                    identification = u32::from_be_bytes(extension[4..8].try_into().ok()?);
                    at += 8;
                } else {
                    at += (usize::from(extension[1]) + 1) * 8;
                }
                next = extension[0];
            }
            Self {
                bytes: bytes.to_vec(),
                network,
                transport: network + at,
                end: network + 40 + usize::from(word(4)?),
                protocol: next,
                hop_limit: *header.get(7)?,
                piece,
                has_fragment_header,
                identification,
                source: (address(8)?, 0).into(),
                destination: (address(24)?, 0).into(),
            }
        };
        if datagram.piece != Piece::Later && matches!(datagram.protocol, TCP | UDP | SCTP) {
            let ports = bytes.get(datagram.transport..datagram.transport + 4)?;
            datagram.source.set_port(u16::from_be_bytes([ports[0], ports[1]]));
            datagram.destination.set_port(u16::from_be_bytes([ports[2], ports[3]]));
        }
        Some(datagram)
    }

    fn piece(has_offset: bool, more_follow: bool) -> Piece {
        match (has_offset, more_follow) {
            (true, _) => Piece::Later,
            (false, true) => Piece::First,
            (false, false) => Piece::Whole,
        }
    }

    /// Whether it is of IPv4.
    pub fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// Bytes from the IP header on.
    pub fn length(&self) -> usize {
        self.end - self.network
    }

    /// The link-layer address that the frame is for.
    pub fn link_destination(&self) -> [u8; 6] {
        [0, 1, 2, 3, 4, 5].map(|at| self.bytes[at])
    }

    /// What it does to a connection.
    pub fn signal(&self) -> Signal {
        match self.protocol {
            _ if self.piece == Piece::Later => Signal::default(),
            TCP => Signal::of_segment(self.bytes[self.transport + 13]),
            SCTP => Signal::of_chunk(self.bytes[self.transport + 12]),
            _ => Signal::default(),
        }
    }

    /// Whether it is ICMP of its family.
    pub fn is_icmp(&self) -> bool {
        self.protocol == if self.is_v4() { ICMP } else { ICMPV6 }
    }

    /// Type and code of an ICMP message.
    pub fn icmp(&self) -> (u8, u8) {
        (self.bytes[self.transport], self.bytes[self.transport + 1])
    }

    /// Gives the frame other link-layer addresses: source, destination.
    pub fn relink(&mut self, (source, destination): ([u8; 6], [u8; 6])) {
        self.bytes[..6].copy_from_slice(&destination);
        self.bytes[6..12].copy_from_slice(&source);
    }

    /// Sends it back on the link.
    pub fn turn_link(&mut self) {
        let (one, other) = self.bytes.split_at_mut(6);
        one.swap_with_slice(&mut other[..6]);
    }

    /// Sets TTL or hop limit.
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        let at = self.network + if self.is_v4() { 8 } else { 7 };
        self.bytes[at] = hop_limit;
        self.hop_limit = hop_limit;
        self.complete_header();
    }

    /// Gives it other addresses and ports, with every checksum right, or as wrong as it was.
    pub fn readdress(&mut self, source: SocketAddr, destination: SocketAddr) {
        let before = self.clone();
        self.write_addresses(source.ip(), destination.ip());
        (self.source, self.destination) = (source, destination);
        if self.piece == Piece::Later {
            return;
        }
        self.write_ports(source.port(), destination.port());
        self.complete_like(&before);
    }

    /// Gives a packet without ports other addresses, and the right checksum.
    pub fn swap(&mut self, source: IpAddr, destination: IpAddr) {
        self.write_addresses(source, destination);
        (self.source, self.destination) = ((source, 0).into(), (destination, 0).into());
        self.complete();
    }

    /// Gives the packet that this ICMP error quotes other addresses and ports.
    pub fn requote(&mut self, mut quoted: Self, source: SocketAddr, destination: SocketAddr) {
        let before = quoted.clone();
        quoted.write_addresses(source.ip(), destination.ip());
        quoted.write_ports(source.port(), destination.port());
        quoted.complete_like(&before);
        self.bytes[..quoted.bytes.len()].copy_from_slice(&quoted.bytes);
    }

    fn write_ports(&mut self, source: u16, destination: u16) {
        for (at, port) in [(0, source), (2, destination)] {
            self.bytes[self.transport + at..][..2].copy_from_slice(&port.to_be_bytes());
        }
    }

    fn write_addresses(&mut self, source: IpAddr, destination: IpAddr) {
        for (address, (v4, v6)) in [(source, (12, 8)), (destination, (16, 24))] {
            match address {
                IpAddr::V4(it) => self.bytes[self.network + v4..][..4].copy_from_slice(&it.octets()),
                IpAddr::V6(it) => self.bytes[self.network + v6..][..16].copy_from_slice(&it.octets()),
            }
        }
        self.complete_header();
    }

    fn addresses(&self) -> Vec<u8> {
        let (from, to) = if self.is_v4() { (12, 20) } else { (8, 40) };
        self.bytes[self.network + from..self.network + to].to_vec()
    }

    fn ports(&self) -> Vec<u8> {
        self.bytes.get(self.transport..self.transport + 4).unwrap_or_default().to_vec()
    }

    /// Where the transport checksum is.
    fn field(&self) -> usize {
        self.transport
            + match self.protocol {
                TCP => 16,
                UDP => 6,
                SCTP => 8,
                _ => 2,
            }
    }

    /// Makes its transport checksum wrong.
    pub fn damage(&mut self) {
        let field = self.field();
        self.bytes[field] ^= 0x15;
    }

    /// The transport checksum, once addresses and ports are others than before: computed from scratch where all that
    /// it covers is there and it was right; else changed by what has changed.
    fn complete_like(&mut self, before: &Self) {
        let is_whole = self.piece == Piece::Whole && self.end <= self.bytes.len();
        if is_whole {
            let mut right = before.clone();
            right.complete();
            self.complete();
            if right.bytes == before.bytes {
                return;
            }
            if self.protocol == SCTP {
                // A CRC is linear: what was wrong stays wrong in the same bits.
                for at in self.field()..self.field() + 4 {
                    self.bytes[at] ^= right.bytes[at] ^ before.bytes[at];
                }
                return;
            }
        }
        let field = self.field()..self.field() + 2;
        let (TCP | UDP, Some(&[high, low])) = (self.protocol, before.bytes.get(field.clone())) else {
            return;
        };
        let old = u16::from_be_bytes([high, low]);
        let changed = |it: &Self| [it.addresses(), it.ports()].concat();
        let new = match (self.protocol, old, after_change(old, &changed(before), &changed(self))) {
            (UDP, 0, _) => 0,
            (UDP, _, 0) => u16::MAX,
            (_, _, new) => new,
        };
        self.bytes[field].copy_from_slice(&new.to_be_bytes());
    }

    /// Computes the checksum of an IPv4 header.
    pub fn complete_header(&mut self) {
        if !self.is_v4() {
            return;
        }
        let header = self.network..self.network + usize::from(self.bytes[self.network] & 0xf) * 4;
        self.bytes[self.network + 10..self.network + 12].fill(0);
        let sum = internet([&[], &self.bytes[header]]);
        self.bytes[self.network + 10..self.network + 12].copy_from_slice(&sum.to_be_bytes());
    }

    /// Computes the checksum of the transport header, of the whole packet. A UDP datagram without one keeps none.
    pub fn complete(&mut self) {
        let field = self.field();
        if self.protocol == SCTP {
            self.bytes[field..field + 4].fill(0);
            let sum = crc32c(&self.bytes[self.transport..self.end]);
            self.bytes[field..field + 4].copy_from_slice(&sum.to_le_bytes());
            return;
        }
        if self.protocol == UDP && self.bytes[field..field + 2] == [0, 0] && self.is_v4() {
            return;
        }
        self.bytes[field..field + 2].fill(0);
        let sum = internet([&self.pseudo_header(), &self.bytes[self.transport..self.end]]);
        let sum = if sum == 0 && self.protocol == UDP { u16::MAX } else { sum };
        self.bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// What a transport checksum covers besides (RFC 9293, RFC 8200).
    fn pseudo_header(&self) -> Vec<u8> {
        if self.protocol == ICMP {
            return Vec::new();
        }
        let length = (self.end - self.transport) as u32;
        [&self.addresses()[..], &length.to_be_bytes(), &u32::from(self.protocol).to_be_bytes()].concat()
    }
}
