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
    /// Bits of [`Backend`]'s constants; 0 once the endpoint is removed, and before the first use.
    pub flags: u16,
    /// The service id it belongs to.
    pub service: u32,
    /// Goes up whenever the entry gets another endpoint, and when its endpoint is removed: a flow of
    /// an older generation has lost its backend.
    pub generation: u32,
}

const _: () = assert!(size_of::<Backend<Ipv4>>() == 16 && size_of::<Backend<Ipv6>>() == 28);

impl<A> Backend<A> {
    /// The entry is in use.
    pub const LIVE: u16 = 1 << 0;
    /// It is in its service's list for the policy `Cluster`: new connections may get it. An endpoint in no
    /// list keeps the connections that it has.
    pub const IN_CLUSTER: u16 = 1 << 1;
    /// It is in its service's list for the policy `Local`.
    pub const IN_LOCAL: u16 = 1 << 2;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

// SAFETY: an address without padding and integers, all valid for every bit pattern; the assertion
// above shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for Backend<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for Backend<A> {}

/// The value of `BACKEND_LOADS_V4/6`, whose key is the backend's index: what least connections compares.
/// Only backends of services that are balanced so are counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct BackendLoad {
    /// Open flows. Each sweep of the flow table corrects it, because the table may evict a flow that
    /// nobody closed; until then it may even be negative.
    pub flows: i32,
    /// Open sockets that were sent straight to it.
    pub sockets: i32,
}

const _: () = assert!(size_of::<BackendLoad>() == 8);
