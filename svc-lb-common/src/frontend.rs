//! What svc-lb answers for: an address, a port and a protocol.

use crate::address::{Address, Be16, Ipv4, Ipv6};
use bytemuck::{Pod, Zeroable};

/// The key of `FRONTENDS_V4/6`. Port 0 with protocol 0 is the entry of the address itself, which
/// every address that occurs in a frontend has.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FrontendKey<A> {
    /// The address a client sends to.
    pub address: A,
    /// The port a client sends to.
    pub port: Be16,
    /// The IP protocol number.
    pub protocol: u16,
}

const _: () = assert!(size_of::<FrontendKey<Ipv4>>() == 8 && size_of::<FrontendKey<Ipv6>>() == 20);

impl<A: Address> FrontendKey<A> {
    /// The key of the entry of an address.
    #[inline(always)]
    pub fn of_address(address: A) -> Self {
        Self { address, port: Be16::new(0), protocol: 0 }
    }
}

// SAFETY: an address without padding and two 16-bit numbers, all valid for every bit pattern; the
// assertion above shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for FrontendKey<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for FrontendKey<A> {}

/// The value of `FRONTENDS_V4/6`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Frontend {
    /// The key of `SERVICES`; 0 in the entry of an address.
    pub service: u32,
    /// Bits of [`Frontend`]'s constants.
    pub flags: u32,
}

impl Frontend {
    /// Served to sources that come in by an uplink: a NodePort, a load-balancer address, an
    /// external IP. Without it the frontend is a ClusterIP, for pods and the node only. The entry of an
    /// address has it if one of its frontends does.
    pub const EXTERNAL: u32 = 1 << 0;
    /// No host owns the address, so svc-lb alone answers for its ports. Without it the address is the node's own,
    /// and what is not a frontend is the host's. The entry of the address and all its frontends have it.
    pub const VIRTUAL: u32 = 1 << 1;
    /// A load-balancer address that only the sources in `SOURCE_RANGES_V4/6` may use
    /// (`spec.loadBalancerSourceRanges`).
    pub const LIMITED: u32 = 1 << 2;
    /// It is a load balancer's address: no program asks, people do.
    pub const LOAD_BALANCER: u32 = 1 << 3;
    /// It is one of `spec.externalIPs`: no program asks, people do.
    pub const EXTERNAL_IP: u32 = 1 << 4;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

const _: () = assert!(size_of::<Frontend>() == 8);
