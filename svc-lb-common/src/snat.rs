//! Which source port a translated flow tries.

use core::fmt;

/// How many ports are tried before the flow is refused.
pub const ATTEMPTS: u32 = 32;

/// How many of them are tried while there may be better ones.
const SPARING_ATTEMPTS: u32 = 8;

/// The attempts of a round: the client's own port, then those of the range.
const ROUND: u32 = 1 + ATTEMPTS;
const SPARING_ROUND: u32 = 1 + SPARING_ATTEMPTS;

/// How much a new flow needs the port that it tries, and what must make way for it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// There are others to try: a closed flow, unless its backend still remembers it.
    OneOfMany,
    /// Some were tried: any closed flow.
    OneOfFew,
    /// All were tried: a handshake too that nobody finished.
    Any,
}

/// One attempt of a search for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which port: 0 is the client's own, then come the candidates of the range.
    pub port: u32,
    /// How much it is needed.
    pub need: Need,
}

impl Attempt {
    /// How many there are.
    pub const COUNT: u32 = SPARING_ROUND + 2 * ROUND;

    /// The attempt with a number below [`Self::COUNT`].
    #[inline(always)]
    pub const fn number(number: u32) -> Self {
        if number < SPARING_ROUND {
            Self { port: number, need: Need::OneOfMany }
        } else if number < SPARING_ROUND + ROUND {
            Self { port: number - SPARING_ROUND, need: Need::OneOfFew }
        } else {
            Self { port: number - SPARING_ROUND - ROUND, need: Need::Any }
        }
    }
}

/// The ports of `--snat-port-range`, in the host's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port; not before the first.
    pub last: u16,
}

impl PortRange {
    /// Whether a port is in it.
    #[inline(always)]
    pub fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// The port to try at an attempt after the client's own. Where the walk through the range begins and
    /// how long its steps are depends on the flow's hash: flows that meet at one port part again, so that a
    /// range that is more than half full still has a free port for nearly everyone.
    #[inline(always)]
    pub fn candidate(self, hash: u32, attempt: u32) -> u16 {
        let length = u32::from(self.last.wrapping_sub(self.first)) + 1;
        let start = hash.checked_rem(length).unwrap_or(0);
        let offset = (start + attempt * stride(hash)).checked_rem(length).unwrap_or(0);
        self.first.wrapping_add(offset as u16)
    }
}

/// The step of a walk: a prime that is longer than any range, so that the walk meets every port before it
/// meets one again.
#[inline(always)]
const fn stride(hash: u32) -> u32 {
    match hash >> 29 {
        0 => 65537,
        1 => 65539,
        2 => 65543,
        3 => 65551,
        4 => 65557,
        5 => 65563,
        6 => 65579,
        _ => 65581,
    }
}

impl fmt::Display for PortRange {
    /// As the flags spell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::{Be16, Ipv4, Tuple},
        hash::hash,
    };
    use core::net::Ipv4Addr;
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec;

    #[test]
    fn every_port_is_tried_for_every_need() {
        let attempts: Vec<_> = (0..Attempt::COUNT).map(Attempt::number).collect();
        let ports = |need| attempts.iter().filter(|it| it.need == need).map(|it| it.port).collect::<Vec<_>>();
        assert_eq!(ports(Need::OneOfMany), (0..=SPARING_ATTEMPTS).collect::<Vec<_>>());
        assert_eq!(ports(Need::OneOfFew), (0..=ATTEMPTS).collect::<Vec<_>>());
        assert_eq!(ports(Need::Any), ports(Need::OneOfFew));
    }

    proptest! {
        #[test]
        fn every_candidate_is_in_the_range_and_none_is_tried_twice(
            first in 1u16..60000, length in 1u16..5000, hash in any::<u32>(),
        ) {
            let range = PortRange { first, last: first + (length - 1) };
            let mut seen = [false; 5000];
            for attempt in 0..ATTEMPTS.min(u32::from(length)) {
                let port = range.candidate(hash, attempt);
                prop_assert!(range.contains(port));
                prop_assert!(!core::mem::replace(&mut seen[usize::from(port - first)], true));
            }
        }
    }

    #[test]
    fn starts_spread_over_the_range() {
        let range = PortRange { first: 10000, last: 29999 };
        let mut buckets = [0u32; 10];
        for client in 0..10000u32 {
            let tuple = Tuple {
                source: Ipv4::from(Ipv4Addr::from(0x0a00_0000 + client / 100)),
                destination: Ipv4::from(Ipv4Addr::new(192, 0, 2, 1)),
                source_port: Be16::new(30000 + (client % 100) as u16),
                destination_port: Be16::new(80),
            };
            buckets[usize::from(range.candidate(hash(&tuple), 0) - 10000) / 2000] += 1;
        }
        assert!(buckets.iter().all(|&count| (800..1200).contains(&count)), "{buckets:?}");
    }

    #[test]
    fn a_range_that_is_three_quarters_full_refuses_nobody() {
        let range = PortRange { first: 10000, last: 19999 };
        let mut taken = [false; 10000];
        for client in 0..7500u32 {
            let tuple = Tuple {
                source: Ipv4::from(Ipv4Addr::from(0xc000_0200 + client / 50)),
                destination: Ipv4::from(Ipv4Addr::from(0xac12_0002)),
                source_port: Be16::new(40000 + (client % 50) as u16),
                destination_port: Be16::new(30001),
            };
            let mut walk = (0..ATTEMPTS).map(|attempt| range.candidate(hash(&tuple), attempt));
            let port = walk.find(|port| !taken[usize::from(port - range.first)]);
            taken[usize::from(port.expect("a free port") - range.first)] = true;
        }
    }
}
