//! What a program must know of an interface.

use crate::address::AddressPair;
use bytemuck::{Pod, Zeroable};

/// How many interfaces there may be: the size of `INTERFACES`, which is indexed by ifindex. An
/// array, because XDP reads it for every packet and a hash lookup would cost as much as the flow's.
pub const MAX_INTERFACES: u32 = 1 << 16;

/// The value of `INTERFACES`; all zero for an interface that svc-lb does not serve.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Interface {
    /// The interface's addresses: the source of connections that svc-lb sends out by it. Where the
    /// interface has none of a family: the node's.
    pub addresses: AddressPair,
    /// The link-layer address.
    pub mac: [u16; 3],
    /// Bits of [`Interface`]'s constants.
    pub flags: u16,
}

impl Interface {
    /// Towards the world and the other nodes.
    pub const UPLINK: u16 = 1 << 0;
    /// The host side of a pod's veth pair.
    pub const POD: u16 = 1 << 1;
    /// XDP can send by it: `xdp_uplink` is attached, natively or generically.
    pub const XDP: u16 = 1 << 2;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

const _: () = assert!(size_of::<Interface>() == 28);

/// The one value of `SETTINGS`: what the agent knows of the node, and may change while it runs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Settings {
    /// The node's addresses: what a pod sees that was chosen for itself.
    pub node: AddressPair,
}

const _: () = assert!(size_of::<Settings>() == 20);
