//! IP addresses and ports in network byte order, as words wide enough for one load.

use bytemuck::{Pod, Zeroable};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A 16-bit number in network byte order: a port as it stands in a TCP, UDP or SCTP header.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
pub struct Be16(u16);

impl Be16 {
    /// From a number in the host's byte order.
    #[inline(always)]
    pub const fn new(host: u16) -> Self {
        Self(host.to_be())
    }

    /// From the two bytes as a load from a packet gives them.
    #[inline(always)]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    /// The two bytes as a store to a packet wants them.
    #[inline(always)]
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// The number in the host's byte order.
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be(self.0)
    }
}

/// An IPv4 address, one word in network byte order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Ipv4(pub u32);

/// An IPv6 address, four words in network byte order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, Hash, Pod, Zeroable)]
#[allow(
    clippy::derived_hash_with_manual_eq,
    reason = "the comparison below is the derived one, word by word"
)]
pub struct Ipv6(pub [u32; 4]);

impl PartialEq for Ipv6 {
    /// Word by word: a comparison of arrays would become a call to `bcmp`, a byte loop in BPF.
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let difference = |word: usize| self.0[word] ^ other.0[word];
        difference(0) | difference(1) | difference(2) | difference(3) == 0
    }
}

impl Eq for Ipv6 {}

/// The address of one interface or node in both families; unspecified where it has none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct AddressPair {
    /// IPv4.
    pub v4: Ipv4,
    /// IPv6.
    pub v6: Ipv6,
}

/// An address of one family; what differs between IPv4 and IPv6, so that all else is written once.
pub trait Address: Pod + Eq + Default + core::fmt::Debug + Send + Sync {
    /// The length of the IP header without options or extension headers, in bytes.
    const HEADER_LENGTH: usize;
    /// The version as it stands in the first four bits of the header.
    const VERSION: u8;

    /// This family's half of a pair.
    fn of(pair: &AddressPair) -> Self;

    /// The 16-bit words added up in one's complement without folding: what the address adds to a
    /// checksum, in the byte order of the packet.
    fn sum(self) -> u64;

    /// The words mixed into one, for a hash.
    fn mix(self) -> u32;

    /// The bits that a netmask has.
    fn masked(self, mask: Self) -> Self;

    /// As the standard library's address.
    fn to_ip(self) -> IpAddr;

    /// From the standard library's address, if it is of this family.
    fn from_ip(address: IpAddr) -> Option<Self>;

    /// Whether this is the unspecified address (all zero).
    #[inline(always)]
    fn is_unspecified(self) -> bool {
        self == Self::default()
    }
}

impl Address for Ipv4 {
    const HEADER_LENGTH: usize = 20;
    const VERSION: u8 = 4;

    #[inline(always)]
    fn of(pair: &AddressPair) -> Self {
        pair.v4
    }

    #[inline(always)]
    fn sum(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    fn mix(self) -> u32 {
        self.0
    }

    #[inline(always)]
    fn masked(self, mask: Self) -> Self {
        Self(self.0 & mask.0)
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(self.0.to_ne_bytes()))
    }

    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(address.into()),
            IpAddr::V6(_) => None,
        }
    }
}

impl Address for Ipv6 {
    const HEADER_LENGTH: usize = 40;
    const VERSION: u8 = 6;

    #[inline(always)]
    fn of(pair: &AddressPair) -> Self {
        pair.v6
    }

    #[inline(always)]
    fn sum(self) -> u64 {
        let [a, b, c, d] = self.0;
        a as u64 + b as u64 + c as u64 + d as u64
    }

    #[inline(always)]
    fn mix(self) -> u32 {
        let [a, b, c, d] = self.0;
        // Odd factors, of which none is near another's multiple. BPF multiplies faster than it rotates.
        let first = a.wrapping_mul(0x85eb_ca6b).wrapping_add(b.wrapping_mul(0xc2b2_ae35));
        first.wrapping_add(c.wrapping_mul(0x27d4_eb2f)).wrapping_add(d.wrapping_mul(0x1656_67b1))
    }

    #[inline(always)]
    fn masked(self, mask: Self) -> Self {
        let word = |index: usize| self.0[index] & mask.0[index];
        Self([word(0), word(1), word(2), word(3)])
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(bytemuck::cast::<_, [u8; 16]>(self.0)))
    }

    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V6(address) => Some(address.into()),
            IpAddr::V4(_) => None,
        }
    }
}

impl From<Ipv4Addr> for Ipv4 {
    fn from(address: Ipv4Addr) -> Self {
        Self(u32::from_ne_bytes(address.octets()))
    }
}

impl From<Ipv6Addr> for Ipv6 {
    fn from(address: Ipv6Addr) -> Self {
        Self(bytemuck::cast(address.octets()))
    }
}

/// Source and destination of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// Source port.
    pub source_port: Be16,
    /// Destination port.
    pub destination_port: Be16,
}

const _: () = assert!(size_of::<Tuple<Ipv4>>() == 12 && size_of::<Tuple<Ipv6>>() == 36);

impl<A: Address> Tuple<A> {
    /// The tuple of a packet that goes the other way.
    #[inline(always)]
    pub fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }

    /// Whether another tuple has another source or destination port.
    #[inline(always)]
    pub fn ports_differ(&self, other: &Self) -> bool {
        self.source_port != other.source_port || self.destination_port != other.destination_port
    }

    /// What both ports add to a checksum, in the byte order of the packet.
    #[inline(always)]
    pub fn port_sum(&self) -> u64 {
        self.source_port.raw() as u64 + self.destination_port.raw() as u64
    }

    /// What both addresses add to a checksum, in the byte order of the packet.
    #[inline(always)]
    pub fn address_sum(&self) -> u64 {
        self.source.sum() + self.destination.sum()
    }
}

// SAFETY: two addresses without padding and two ports, all valid for every bit pattern; the
// assertion above shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for Tuple<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for Tuple<A> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ports_keep_the_byte_order_of_the_packet() {
        let v4 = Ipv4::from(Ipv4Addr::new(10, 1, 2, 3));
        assert_eq!(bytemuck::bytes_of(&v4), [10, 1, 2, 3]);
        assert_eq!(v4.to_ip(), IpAddr::from([10, 1, 2, 3]));
        let octets = core::array::from_fn(|i| i as u8);
        let v6 = Ipv6::from(Ipv6Addr::from(octets));
        assert_eq!(bytemuck::bytes_of(&v6), octets);
        assert_eq!(v6.to_ip(), IpAddr::from(octets));
        assert_eq!(bytemuck::bytes_of(&Be16::new(0x1234)), [0x12, 0x34]);
        assert_eq!(Be16::new(0x1234).get(), 0x1234);
    }

    #[test]
    fn ipv6_equality_looks_at_every_word() {
        let zero = Ipv6::default();
        for word in 0..4 {
            let mut other = zero;
            other.0[word] = 1;
            assert_ne!(zero, other);
        }
        assert_eq!(zero, Ipv6::default());
    }
}
