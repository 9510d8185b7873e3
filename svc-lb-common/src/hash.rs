//! A number that the addresses and ports of a packet decide, the same on every node.

use crate::address::{Address, Tuple};

/// A hash of a packet's addresses and ports.
#[inline(always)]
pub fn hash<A: Address>(tuple: &Tuple<A>) -> u32 {
    let ports = (u32::from(tuple.source_port.raw()) << 16) | u32::from(tuple.destination_port.raw());
    let hash = absorb(absorb(absorb(0, tuple.source.mix()), tuple.destination.mix()), ports);
    // A last round brings what is in the high bits, where it multiplied last, to the low ones.
    absorb(hash, hash >> 16)
}

/// Mixes a word into a hash. A multiplication carries to higher bits only, the shift brings them back.
#[inline(always)]
fn absorb(hash: u32, word: u32) -> u32 {
    let hash = (hash ^ word).wrapping_mul(0x9e37_79b1);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Be16, Ipv4, Ipv6};
    use core::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn every_word_of_an_ipv6_address_counts() {
        let tuple = |last: u128| Tuple {
            source: Ipv6::from(Ipv6Addr::from(last)),
            destination: Ipv6::default(),
            source_port: Be16::new(1),
            destination_port: Be16::new(2),
        };
        let zero = hash(&tuple(0));
        for word in 0..4 {
            assert_ne!(hash(&tuple(1 << (word * 32))), zero);
        }
    }

    /// How many of ten thousand clients get each tenth of all hashes, at the least and at the most.
    fn spread<A: Address>(frontend: A, client: impl Fn(u16) -> (A, u16)) -> (u32, u32) {
        let mut tenths = [0u32; 10];
        for number in 0..10_000 {
            let (source, port) = client(number);
            let tuple = Tuple {
                source,
                destination: frontend,
                source_port: Be16::new(port),
                destination_port: Be16::new(80),
            };
            tenths[((u64::from(hash(&tuple)) * 10) >> 32) as usize] += 1;
        }
        (*tenths.iter().min().unwrap(), *tenths.iter().max().unwrap())
    }

    #[test]
    fn clients_spread_whatever_tells_them_apart() {
        let (v4, v6) = (Ipv4::from(Ipv4Addr::new(10, 96, 0, 1)), Ipv6::from(Ipv6Addr::LOCALHOST));
        let same = Ipv4::from(Ipv4Addr::new(192, 0, 2, 1));
        for (least, most) in [
            spread(v4, |number| (same, 32768 + number)),
            spread(v4, |number| (Ipv4::from(Ipv4Addr::from_bits(0xc000_0000 + u32::from(number))), 4000)),
            spread(v6, |number| (Ipv6::from(Ipv6Addr::from_bits(u128::from(number) << 64)), 4000)),
        ] {
            assert!(least >= 800 && most <= 1200, "{least}..{most}");
        }
    }
}
