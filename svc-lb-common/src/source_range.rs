//! Which sources may use a service, and which are inside the cluster.

use crate::address::{Address, Ipv4, Ipv6};
use bytemuck::{Pod, Zeroable};

/// How many ranges `SOURCE_RANGES_V4/6` holds.
pub const MAX_SOURCE_RANGES: u32 = 1 << 17;

/// The "service id" of the ranges whose sources are inside the cluster (`--cluster-cidr`).
pub const CLUSTER: u32 = 0;

/// The key of `SOURCE_RANGES_V4/6` after its prefix length, which counts the 32 bits of the service id too.
/// The value says nothing: what is there is allowed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourceRange<A> {
    /// The service id, or [`CLUSTER`].
    pub service: u32,
    /// The source's address, or the range's.
    pub address: A,
}

const _: () = assert!(size_of::<SourceRange<Ipv4>>() == 8 && size_of::<SourceRange<Ipv6>>() == 20);

impl<A: Address> SourceRange<A> {
    /// The prefix length of a single address's key, in bits.
    pub const BITS: u32 = 8 * size_of::<Self>() as u32;
}

// SAFETY: a 32-bit number and an address without padding, all valid for every bit pattern; the assertion
// above shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for SourceRange<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for SourceRange<A> {}
