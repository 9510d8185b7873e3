//! Link-layer addresses of Ethernet (IEEE 802.3), as they stand in a frame.

use bytemuck::{Pod, Zeroable};

/// The two addresses that a frame begins with, destination and source. In words: what programs do with them for
/// every packet is compare the first and write both.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct LinkAddresses([u32; 3]);

/// A link-layer address, in words of 16 bits as they stand in a frame.
pub type LinkAddress = [u16; 3];

impl LinkAddresses {
    /// From one to the other.
    #[inline(always)]
    pub const fn new(destination: LinkAddress, source: LinkAddress) -> Self {
        let (to, from) = (destination, source);
        Self([word(to[0], to[1]), word(to[2], from[0]), word(from[1], from[2])])
    }

    /// Who is to have the frame.
    #[inline(always)]
    pub const fn destination(self) -> LinkAddress {
        let [(a, b), (c, _), _] = self.halves();
        [a, b, c]
    }

    /// Who sends it.
    #[inline(always)]
    pub const fn source(self) -> LinkAddress {
        let [_, (_, d), (e, f)] = self.halves();
        [d, e, f]
    }

    /// Back to who sends it.
    #[inline(always)]
    #[must_use]
    pub const fn turned(self) -> Self {
        Self::new(self.source(), self.destination())
    }

    /// Whether the frame is for an address; word by word: a comparison of arrays would become a call to `bcmp`, a
    /// byte loop in BPF.
    #[inline(always)]
    pub const fn is_for(self, [x, y, z]: LinkAddress) -> bool {
        let [first, second, _] = self.0;
        first == word(x, y) && halves(second).0 == z
    }

    #[inline(always)]
    const fn halves(self) -> [(u16, u16); 3] {
        let [a, b, c] = self.0;
        [halves(a), halves(b), halves(c)]
    }
}

/// Two half words, one behind the other in memory, as one.
#[inline(always)]
const fn word(first: u16, second: u16) -> u32 {
    let ([a, b], [c, d]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

#[inline(always)]
const fn halves(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_ne_bytes();
    (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    #[test]
    fn the_addresses_are_where_a_frame_has_them() {
        let addresses: LinkAddresses = bytemuck::cast(FRAME);
        assert_eq!(bytemuck::bytes_of(&addresses.destination()), [1, 2, 3, 4, 5, 6]);
        assert_eq!(bytemuck::bytes_of(&addresses.source()), [7, 8, 9, 10, 11, 12]);
        assert_eq!(LinkAddresses::new(addresses.destination(), addresses.source()), addresses);
        assert_eq!(bytemuck::bytes_of(&addresses.turned()), [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn every_byte_of_the_destination_counts_and_none_of_the_source() {
        let addresses: LinkAddresses = bytemuck::cast(FRAME);
        for (at, counts) in (0..12).map(|at| (at, at < 6)) {
            let mut other = FRAME;
            other[at] ^= 0x80;
            let other: LinkAddresses = bytemuck::cast(other);
            assert_eq!(other.is_for(addresses.destination()), !counts, "byte {at}");
        }
    }
}
