//! Fragments: only the first of a datagram carries its ports, the others follow it.

use crate::{
    address::{Address, Be16, Ipv4, Ipv6},
    timeout::is_past,
};
use bytemuck::{Pod, Zeroable};

/// How many datagrams in pieces may be on their way at once, in one family: the size of
/// `FRAGMENTS_V4/6`.
pub const MAX_FRAGMENTED: usize = 1 << 13;

/// For how many seconds the fragments of a datagram are expected after its first: as long as the kernel
/// would wait to put them together (`net.ipv4.ipfrag_time`).
const LIFETIME: u32 = 30;

/// Which part of its datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Piece {
    /// All of it.
    Whole = 0,
    /// The first of several: it has the transport header.
    First = 1,
    /// One behind the first: without a transport header.
    Later = 2,
}

impl Piece {
    /// From the third word of an IPv4 header (RFC 791), in network byte order: three flags, of which the
    /// last is "more fragments", and the offset.
    #[inline(always)]
    pub const fn of_ipv4(field: u16) -> Self {
        const MORE: u16 = 0x2000;
        const OFFSET: u16 = 0x1fff;
        Self::of(field, MORE.to_be(), OFFSET.to_be())
    }

    /// From the second word of an IPv6 fragment header (RFC 8200, 4.5), in network byte order: the offset,
    /// and in the last bit "more fragments".
    #[inline(always)]
    pub const fn of_ipv6(field: u16) -> Self {
        const MORE: u16 = 1;
        const OFFSET: u16 = 0xfff8;
        Self::of(field, MORE.to_be(), OFFSET.to_be())
    }

    #[inline(always)]
    const fn of(field: u16, more: u16, offset: u16) -> Self {
        if field & (more | offset) == 0 {
            Self::Whole
        } else if field & offset == 0 {
            Self::First
        } else {
            Self::Later
        }
    }
}

/// The key of `FRAGMENTS_V4/6`: what the fragments of one datagram have in common (RFC 791, RFC 8200), as
/// they pass a hook.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// The datagram's identification, as it stands in the packet.
    pub identification: u32,
    /// The IP protocol number.
    pub protocol: u16,
    /// The [`Hook`](crate::flow::Hook) that they pass.
    pub hook: u16,
}

const _: () = assert!(size_of::<FragmentKey<Ipv4>>() == 16 && size_of::<FragmentKey<Ipv6>>() == 40);

// SAFETY: two addresses without padding and integers, all valid for every bit pattern; the assertion
// above shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for FragmentKey<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for FragmentKey<A> {}

/// The value of `FRAGMENTS_V4/6`: what only the first fragment says.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FragmentPorts {
    /// Source port.
    pub source: Be16,
    /// Destination port.
    pub destination: Be16,
    /// When the first fragment passed, in seconds of the dataplane's clock.
    pub seen: u32,
}

const _: () = assert!(size_of::<FragmentPorts>() == 8);

impl FragmentPorts {
    /// Whether fragments of this datagram may still come.
    #[inline(always)]
    pub fn is_live(&self, now: u32) -> bool {
        !is_past(LIFETIME, self.seen, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_packet_is_whole_unless_it_has_an_offset_or_more_follow() {
        let of = |field: u16| Piece::of_ipv4(field.to_be());
        assert_eq!(of(0), Piece::Whole);
        assert_eq!(of(0x4000), Piece::Whole, "don't fragment");
        assert_eq!(of(0x8000), Piece::Whole, "the reserved bit");
        assert_eq!(of(0x2000), Piece::First);
        for later in [0x2001, 0x0001, 0x1fff, 0x3fff, 0x0100] {
            assert_eq!(of(later), Piece::Later);
        }
    }

    #[test]
    fn an_ipv6_packet_with_a_fragment_header_may_be_whole() {
        let of = |field: u16| Piece::of_ipv6(field.to_be());
        assert_eq!(of(0), Piece::Whole);
        assert_eq!(of(0x0006), Piece::Whole, "the reserved bits");
        assert_eq!(of(0x0001), Piece::First);
        for later in [0x0008, 0x0009, 0xfff8, 0xfff9, 0x0100] {
            assert_eq!(of(later), Piece::Later);
        }
    }

    #[test]
    fn fragments_are_expected_for_thirty_seconds() {
        let ports = |seen| FragmentPorts { seen, ..FragmentPorts::default() };
        assert!(ports(100).is_live(100));
        assert!(ports(100).is_live(130));
        assert!(!ports(100).is_live(131));
        assert!(ports(101).is_live(100), "another processor's clock");
        assert!(ports(u32::MAX).is_live(29));
        assert!(!ports(u32::MAX).is_live(30));
    }
}
