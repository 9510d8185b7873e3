//! Which backend a client had last: `sessionAffinity: ClientIP`.

use crate::address::{Address, Ipv4, Ipv6};
use bytemuck::{Pod, Zeroable};

/// How many entries `AFFINITY_V4/6` holds, one a client and service; the one that was used least recently
/// gives way.
pub const MAX_AFFINITIES: u32 = 1 << 17;

/// The key of `AFFINITY_V4/6`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AffinityKey<A> {
    /// The service id: one Service port, by whichever of its frontends the client comes.
    pub service: u32,
    /// The client's address.
    pub client: A,
}

const _: () = assert!(size_of::<AffinityKey<Ipv4>>() == 8 && size_of::<AffinityKey<Ipv6>>() == 20);

// SAFETY: a 32-bit number and an address without padding, all valid for every bit pattern; the assertion
// above shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for AffinityKey<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for AffinityKey<A> {}

/// The value of `AFFINITY_V4/6`. It holds while the backend is of this generation and in the list that
/// the client is to choose from.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Affinity {
    /// The backend's index.
    pub backend: u32,
    /// The backend's generation when it was chosen.
    pub generation: u32,
    /// When the client's last connection was opened, in seconds of the dataplane's clock.
    pub last_used: u32,
}

const _: () = assert!(size_of::<Affinity>() == 12);
