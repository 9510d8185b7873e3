//! What a program must know of an interface.

use crate::address::AddressPair;
use bytemuck::{Pod, Zeroable};

/// How many slots `INTERFACES` has.
pub const INTERFACE_SLOTS: u32 = 1 << 12;

/// How many interfaces `OTHER_INTERFACES` holds.
pub const MAX_OTHER_INTERFACES: u32 = 1 << 14;

/// The slot of an interface in `INTERFACES`. XDP reads an interface for every packet, so a hash lookup
/// would cost as much as the flow's; and an array by ifindex has no end, because ifindexes only grow.
/// Of two interfaces with one slot, one is in `OTHER_INTERFACES`.
#[inline(always)]
pub const fn slot(ifindex: u32) -> u32 {
    ifindex & (INTERFACE_SLOTS - 1)
}

/// The value of `INTERFACES`, whose key is a [`slot`], and of `OTHER_INTERFACES`, whose key is the
/// ifindex. All zero in a slot that no interface has.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Interface {
    /// The interface's addresses: the source of connections that svc-lb sends out by it. Where the
    /// interface has none of a family: the node's.
    pub addresses: AddressPair,
    /// The link-layer address under which the host hears what arrives here: that of the bridge of which
    /// this is a port, else its own; zero where there is none.
    pub mac: [u16; 3],
    /// Bits of [`Interface`]'s constants.
    pub flags: u16,
    /// Its ifindex.
    pub index: u32,
    /// The ifindex by which the host's stack sees what arrives here: that of the bridge of which this
    /// is a port, else its own.
    pub master: u32,
    /// The longest packet that it sends, in bytes from the IP header on (`IFLA_MTU`).
    pub mtu: u32,
}

impl Interface {
    /// Towards the world and the other nodes.
    pub const UPLINK: u16 = 1 << 0;
    /// The host side of a pod's veth pair.
    pub const POD: u16 = 1 << 1;
    /// XDP can send by it: `xdp_uplink` is attached, natively or generically.
    pub const XDP: u16 = 1 << 2;
    /// Its packets begin with the IP header: a tun device, WireGuard, IPIP.
    pub const LAYER_3: u16 = 1 << 3;
    /// A port of a bridge that switches IPv4 past netfilter: br_netfilter is off.
    pub const SWITCHED_V4: u16 = 1 << 4;
    /// The same for IPv6.
    pub const SWITCHED_V6: u16 = 1 << 5;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

const _: () = assert!(size_of::<Interface>() == 40);

/// The one value of `SETTINGS`: what the agent knows of the node, and may change while it runs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Settings {
    /// The node's addresses: what a pod sees that was chosen for itself.
    pub node: AddressPair,
    /// Goes up whenever a route, a neighbour or an interface changes: what a flow knows of its next
    /// hop from an older generation is not used any more.
    pub route_generation: u32,
}

const _: () = assert!(size_of::<Settings>() == 24);
