//! One endpoint of one service.

use crate::address::{Address, Be16, Ipv4, Ipv6};
use bytemuck::{Pod, Zeroable};

/// How many backends there may be in one family: the size of `BACKENDS_V4/6`.
pub const MAX_BACKENDS: u32 = 1 << 19;

/// The value of `BACKENDS_V4/6`; the key is the backend's index. An entry belongs to one service.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backend<A> {
    /// The endpoint's address.
    pub address: A,
    /// The endpoint's port.
    pub port: Be16,
    /// 1 while the entry is in use; 0 once the endpoint is removed, and before the first use.
    pub live: u16,
    /// The service id it belongs to.
    pub service: u32,
    /// Goes up whenever the entry gets another endpoint, and when its endpoint is removed: a flow of
    /// an older generation has lost its backend.
    pub generation: u32,
}

const _: () = assert!(size_of::<Backend<Ipv4>>() == 16 && size_of::<Backend<Ipv6>>() == 28);

// SAFETY: an address without padding and integers, all valid for every bit pattern; the assertion
// above shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for Backend<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for Backend<A> {}
