//! The frames that the world sends, made byte by byte.

use super::datagram::{
    Datagram, ETHERNET, Piece,
    protocol::{ICMP, ICMPV6, SCTP, TCP, UDP},
};
use std::net::{IpAddr, SocketAddr};

/// How many bytes of a datagram in pieces are in the first.
const CUT: usize = 24;

/// What is unusual about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a packet may have any of these")]
pub struct Shape {
    /// Bytes behind the transport header.
    pub payload: usize,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// It has an IP option or an extension header.
    pub extended: bool,
    /// UDP over IPv4 without a checksum.
    pub unchecked: bool,
    /// Its transport checksum is wrong.
    pub damaged: bool,
    /// It has a VLAN tag.
    pub tagged: bool,
    /// It is for another host on the link.
    pub strayed: bool,
    /// Bytes follow that are not of the packet.
    pub trailing: bool,
    /// It is followed by another fragment.
    pub in_pieces: bool,
}

impl Shape {
    /// Nothing.
    pub const PLAIN: Self = Self {
        payload: 0,
        hop_limit: 64,
        extended: false,
        unchecked: false,
        damaged: false,
        tagged: false,
        strayed: false,
        trailing: false,
        in_pieces: false,
    };
}

/// A packet to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    /// From whom.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// TCP, UDP or SCTP.
    pub protocol: u8,
    /// The flags of TCP, or the type of SCTP's chunk.
    pub signal: u8,
    /// How.
    pub shape: Shape,
    /// Link-layer addresses: source, destination.
    pub link: ([u8; 6], [u8; 6]),
    /// A number that nothing depends on but what is in the packet.
    pub salt: u32,
    /// What its fragments have in common.
    pub identification: u16,
}

impl Draft {
    /// The frames: one, or the fragments of one.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        let transport = self.transport();
        let shape = self.shape;
        if !shape.in_pieces || transport.len() <= CUT {
            return vec![self.finish(self.wrap(self.protocol, &transport, Piece::Whole))];
        }
        let (first, rest) = transport.split_at(CUT);
        let first = self.wrap(self.protocol, first, Piece::First);
        vec![self.finish(first), self.finish(self.wrap(self.protocol, rest, Piece::Later))]
    }

    fn finish(&self, mut frame: Vec<u8>) -> Vec<u8> {
        if let Some(mut datagram) = Datagram::read(&frame) {
            datagram.complete_header();
            if datagram.piece == Piece::Whole {
                datagram.complete();
            }
            if self.shape.damaged && !self.shape.unchecked && datagram.piece == Piece::Whole {
                datagram.damage();
            }
            frame = datagram.bytes;
        }
        if self.shape.trailing {
            frame.extend([0xee; 6]);
        }
        if self.shape.tagged {
            frame.splice(12..12, [0x81, 0, 0, 5]);
        }
        if self.shape.strayed {
            frame[5] ^= 0x80;
        }
        frame
    }

    /// The transport header, and what follows it.
    fn transport(&self) -> Vec<u8> {
        let ports = [self.source.port().to_be_bytes(), self.destination.port().to_be_bytes()].concat();
        let salt = self.salt.to_be_bytes();
        let payload: Vec<u8> =
            (0..self.shape.payload).map(|at| salt[at % 4].wrapping_add(at as u8)).collect();
        let header = match self.protocol {
            TCP => {
                let numbers = [salt, self.salt.wrapping_mul(3).to_be_bytes()].concat();
                // A SYN has an option, as it always does.
                let option: &[u8] = if self.signal & 2 == 0 { &[] } else { &[2, 4, 5, 0xb4] };
                let words = (20 + option.len() as u8) / 4;
                [&ports[..], &numbers, &[words << 4, self.signal, 0xfa, 0, 0, 0, 0, 0], option].concat()
            }
            UDP => {
                let length = (8 + payload.len()) as u16;
                let sum = if self.shape.unchecked { [0, 0] } else { [0xaa, 0xaa] };
                [&ports[..], &length.to_be_bytes(), &sum].concat()
            }
            _ => {
                let length = (4 + payload.len()) as u16;
                [&ports[..], &salt, &[0; 4], &[self.signal, 0], &length.to_be_bytes()].concat()
            }
        };
        let mut bytes = [header, payload].concat();
        if self.protocol == SCTP {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    /// An ICMP message: its type, its code, and all that follows the checksum.
    pub fn icmp(&self, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let protocol = if self.source.is_ipv4() { ICMP } else { ICMPV6 };
        let message = [&[kind, code, 0, 0], rest].concat();
        self.finish(self.wrap(protocol, &message, Piece::Whole))
    }

    /// A frame with an IP packet of some protocol.
    fn wrap(&self, protocol: u8, body: &[u8], piece: Piece) -> Vec<u8> {
        /// How far the second fragment is from the first, in eights.
        const OFFSET: u16 = CUT as u16 / 8;
        let mut frame = [&self.link.1[..], &self.link.0[..]].concat();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let options: &[u8] = if self.shape.extended { &[1; 8] } else { &[] };
                let length = (20 + options.len() + body.len()) as u16;
                let fragment = match piece {
                    Piece::Whole => 0x4000_u16,
                    Piece::First => 0x2000,
                    Piece::Later => OFFSET,
                };
                frame.extend([8, 0, 0x45 + options.len() as u8 / 4, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend(self.identification.to_be_bytes());
                frame.extend(fragment.to_be_bytes());
                frame.extend([self.shape.hop_limit, protocol, 0, 0]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                frame.extend(options);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut next = protocol;
                let mut extensions: Vec<u8> = Vec::new();
                if piece != Piece::Whole {
                    let field = if piece == Piece::First { 1 } else { OFFSET << 3 };
                    extensions = [
                        &[next, 0][..],
                        &field.to_be_bytes(),
                        &[0xca, 0xfe],
                        &self.identification.to_be_bytes(),
                    ]
                    .concat();
                    next = 44;
                }
                if self.shape.extended {
                    extensions = [&[next, 0, 1, 4, 0, 0, 0, 0], &extensions[..]].concat();
                    next = 60;
                }
                let length = (extensions.len() + body.len()) as u16;
                frame.extend([0x86, 0xdd, 0x60, 0x0a, 0xbc, 0xde]);
                frame.extend(length.to_be_bytes());
                frame.extend([next, self.shape.hop_limit]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                frame.extend(extensions);
            }
            (source, destination) => unreachable!("{source} and {destination} are of two families"),
        }
        frame.extend(body);
        // The kernel makes no test run of what is shorter than its headers may be.
        frame.resize(frame.len().max(ETHERNET + 40), 0);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::verify_checksums;

    /// As another reader of packets sees them.
    #[test]
    fn frames_have_right_checksums_before_and_after_they_are_readdressed() {
        let addresses =
            [["192.0.2.1:1", "10.96.0.1:2", "10.244.0.1:3"], ["[fd00::1]:1", "[fd00::2]:2", "[fd00::3]:3"]];
        for [source, destination, other] in addresses.map(|three| three.map(|it| it.parse().unwrap())) {
            for (protocol, payload) in
                [TCP, UDP, SCTP].into_iter().flat_map(|it| [(it, 0), (it, 33), (it, 1400)])
            {
                for extended in [false, true] {
                    let shape = Shape { payload, extended, ..Shape::PLAIN };
                    let link = ([2; 6], [4; 6]);
                    let draft = Draft {
                        source,
                        destination,
                        protocol,
                        signal: 2,
                        shape,
                        link,
                        salt: 7,
                        identification: 1,
                    };
                    let [frame] = draft.frames().try_into().unwrap();
                    verify_checksums(&frame).unwrap();
                    let mut datagram = Datagram::read(&frame).unwrap();
                    assert_eq!((datagram.source, datagram.destination), (source, destination));
                    datagram.readdress(other, source);
                    verify_checksums(&datagram.bytes).unwrap();
                }
            }
        }
    }
}
