//! Ranges of sources, as `SOURCE_RANGES_V4/6` hold them.

use crate::compile::Family;
use bytemuck::{Pod, Zeroable};
use ipnet::IpNet;
use svc_lb_common::{
    address::{Address, Ipv4, Ipv6},
    source_range,
};

/// How many bits the service id has, which come before those of the address.
const SERVICE_BITS: u32 = u32::BITS;

/// A range of either family, and what it is a range of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceRange {
    /// The service id, or [`source_range::CLUSTER`].
    pub service: u32,
    /// The range.
    pub range: IpNet,
}

/// The key of a trie: how many of the bits behind it count, and they.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SourceRangeKey<A> {
    bits: u32,
    range: source_range::SourceRange<A>,
}

const _: () = assert!(size_of::<SourceRangeKey<Ipv4>>() == 12 && size_of::<SourceRangeKey<Ipv6>>() == 24);

// SAFETY: a 32-bit number, and a range that is valid for every bit pattern; the assertion above shows that
// nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for SourceRangeKey<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for SourceRangeKey<A> {}

impl SourceRange {
    /// Which map it is in.
    pub fn family(&self) -> Family {
        Family::of(self.range.addr())
    }

    /// As the map of a family holds it; `None` if it is of the other one.
    pub fn to_map<A: Address>(self) -> Option<SourceRangeKey<A>> {
        let address = A::from_ip(self.range.addr())?;
        let bits = SERVICE_BITS + u32::from(self.range.prefix_len());
        Some(SourceRangeKey { bits, range: source_range::SourceRange { service: self.service, address } })
    }
}

impl<A: Address> SourceRangeKey<A> {
    /// In the words of the agent; `None` if no agent can have written this.
    pub fn read(&self) -> Option<SourceRange> {
        let prefix_length = u8::try_from(self.bits.checked_sub(SERVICE_BITS)?).ok()?;
        let range = IpNet::new(self.range.address.to_ip(), prefix_length).ok()?;
        Some(SourceRange { service: self.range.service, range })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_was_written() {
        for text in ["0.0.0.0/0", "10.1.0.0/16", "192.0.2.1/32"] {
            let range = SourceRange { service: 7, range: text.parse().unwrap() };
            assert_eq!(range.to_map::<Ipv4>().and_then(|key| key.read()), Some(range));
            assert!(range.to_map::<Ipv6>().is_none());
        }
        for text in ["::/0", "fd00::/8", "2001:db8::1/128"] {
            let range = SourceRange { service: 0, range: text.parse().unwrap() };
            assert_eq!(range.to_map::<Ipv6>().and_then(|key| key.read()), Some(range));
        }
    }

    #[test]
    fn what_no_agent_wrote_is_not_read() {
        for bits in [0, 31, 65, u32::MAX] {
            let range = source_range::SourceRange::default();
            assert!(SourceRangeKey::<Ipv4> { bits, range }.read().is_none(), "{bits}");
        }
    }
}
