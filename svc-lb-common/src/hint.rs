//! Which addresses svc-lb may have to do with. Most packets are for none of them, which one load tells: neither the
//! flow table nor that of frontends has to be asked.
//!
//! A hint that is set may be another address's, and stays set when nothing needs it any more: it promises nothing.
//! One that is not set promises that no flow and no frontend is known by the address.

use crate::address::Address;

/// How many elements `HINTS_V4/6` has. Each is a word of its own, so that who sets one need not know the others.
pub const HINTS: u32 = 1 << 17;

/// A hint that is set.
pub const SET: u64 = 1;

/// The index into `HINTS_V4/6` of an address.
#[inline(always)]
pub fn index<A: Address>(address: A) -> u32 {
    address.mix().wrapping_mul(0x9e37_79b1) >> (u32::BITS - HINTS.ilog2())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Ipv4, Ipv6};
    use core::net::{Ipv4Addr, Ipv6Addr};
    extern crate std;
    use std::collections::BTreeSet;

    /// How many hints so many addresses set.
    fn used<A: Address>(address: impl Fn(u16) -> A) -> usize {
        (0..20_000)
            .map(|number| index(address(number)))
            .inspect(|it| assert!(*it < HINTS))
            .collect::<BTreeSet<_>>()
            .len()
    }

    #[test]
    fn addresses_in_a_row_have_hints_of_their_own_mostly() {
        let in_v4 = |number: u16| Ipv4::from(Ipv4Addr::from_bits(0x0a60_0000 + u32::from(number)));
        let in_v6 = |number: u16| Ipv6::from(Ipv6Addr::from_bits((0xfd00 << 112) + u128::from(number)));
        let subnets =
            |number: u16| Ipv6::from(Ipv6Addr::from_bits((0xfd00 << 112) + (u128::from(number) << 64)));
        for used in [used(in_v4), used(in_v6), used(subnets)] {
            assert!(used > 15_000, "{used} hints of 20,000 addresses");
        }
    }
}
