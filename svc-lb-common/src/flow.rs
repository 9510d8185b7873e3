//! One direction of a tracked connection.
//!
//! Each flow is two entries, one a direction, each found by the packet as it arrives and holding its
//! finished rewrite. Either entry is enough to rebuild the other: [`Flow::partner`].

use crate::{
    address::{Address, Ipv4, Ipv6, Tuple},
    checksum, hint,
    link::LinkAddresses,
};
use bytemuck::{Pod, Zeroable};

/// IP protocol number of TCP.
pub const TCP: u16 = 6;
/// IP protocol number of UDP.
pub const UDP: u16 = 17;
/// IP protocol number of SCTP.
pub const SCTP: u16 = 132;

/// The kind of hook that a packet passes. It is part of the flow's key: a spoofed packet from an
/// uplink never meets a flow of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Hook {
    /// Into the node by an uplink: XDP and tc.
    UplinkIngress = 1,
    /// Out of the node by an uplink.
    UplinkEgress = 2,
    /// From a pod into the node.
    PodIngress = 3,
    /// From the node to a pod.
    PodEgress = 4,
}

/// The key of `FLOWS_V4/6`: the packet as it arrives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey<A> {
    /// Addresses and ports before the rewrite.
    pub tuple: Tuple<A>,
    /// The IP protocol number.
    pub protocol: u16,
    /// The [`Hook`] that the packet passes.
    pub hook: u16,
}

impl<A: Address> FlowKey<A> {
    /// The [`hint`] of the address by which the flow is known: where packets enter the node the one that they are
    /// for, where they leave it the one that they are from. It is a frontend's, a backend's or the node's own.
    #[inline(always)]
    pub fn hint(&self) -> u32 {
        if self.hook == Hook::UplinkIngress as u16 || self.hook == Hook::PodIngress as u16 {
            hint::index(self.tuple.destination)
        } else {
            hint::index(self.tuple.source)
        }
    }
}

const _: () = assert!(size_of::<FlowKey<Ipv4>>() == 16 && size_of::<FlowKey<Ipv6>>() == 40);

// SAFETY: a tuple without padding and two 16-bit numbers, all valid for every bit pattern; the
// assertion above shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for FlowKey<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for FlowKey<A> {}

/// The value of `FLOWS_V4/6`: the finished rewrite of one direction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow<A> {
    /// Addresses and ports after the rewrite.
    pub rewrite: Tuple<A>,
    /// The service id that it counts for.
    pub service: u32,
    /// Index of the backend.
    pub backend: u32,
    /// The backend's generation when it was chosen.
    pub generation: u32,
    /// When a packet of this direction was last seen, in seconds of the dataplane's clock; written
    /// at most once a second.
    pub last_seen: u32,
    /// Bits of [`State`](crate::connection::State), the same in both directions.
    pub state: u32,
    /// The [`Hook`] of the other direction's packets.
    pub partner_hook: u8,
    /// Bits of [`Flow`]'s constants.
    pub flags: u8,
    /// What the change of addresses adds to a checksum: [`checksum::difference`].
    pub address_difference: u16,
    /// What the change of ports adds to a checksum.
    pub port_difference: u16,
    /// Zero.
    pub padding: u16,
    /// The [`Settings::route_generation`](crate::interface::Settings::route_generation) in which the next hop was
    /// looked up; 0: never.
    pub route_generation: u32,
    /// Where a packet goes that svc-lb sends on by itself, as it was last looked up.
    pub next_hop: NextHop,
}

// The kernel keeps 48 bytes of its own in front of a key: an entry of IPv4 is two lines of a processor's cache, and
// this the second.
const _: () = assert!(size_of::<Flow<Ipv4>>() == 64 && size_of::<Flow<Ipv6>>() == 88);

/// How many seconds a period has, in which a flow's partner is looked up once.
const PERIOD: u32 = 4;

/// Whether two times, in seconds, are of one period.
#[inline(always)]
pub const fn is_one_period(one: u32, other: u32) -> bool {
    one / PERIOD == other / PERIOD
}

/// Where to send a packet: a neighbour.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct NextHop {
    /// What the frame begins with: the neighbour's address, and that of the interface.
    pub link: LinkAddresses,
    /// The interface to send by.
    pub ifindex: u32,
    /// The longest packet that the way takes, in bytes from the IP header on.
    pub mtu: u16,
    /// The flags of the [`Interface`](crate::interface::Interface), none if svc-lb does not serve it, and
    /// [`Self::UNRESOLVED`].
    pub interface: u16,
}

const _: () = assert!(size_of::<NextHop>() == 20);

impl NextHop {
    /// The neighbour's link-layer address is not known yet. No flow keeps such a next hop.
    pub const UNRESOLVED: u16 = 1 << 15;

    /// Whether the neighbour's link-layer address is known.
    #[inline(always)]
    pub const fn is_resolved(&self) -> bool {
        !self.is_by(Self::UNRESOLVED)
    }

    /// Whether a flag of the interface is set.
    #[inline(always)]
    pub const fn is_by(&self, flag: u16) -> bool {
        self.interface & flag != 0
    }
}

// SAFETY: a tuple without padding and integers, all valid for every bit pattern; the assertion above
// shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for Flow<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for Flow<A> {}

impl<A: Address> Flow<A> {
    /// Backend → client. Without it: client → backend.
    pub const REPLY: u8 = 1 << 0;
    /// svc-lb sends the packet on by itself, by the node's routes: it never enters the host's stack.
    pub const ROUTED: u8 = 1 << 1;
    /// svc-lb sends the packet back out of the interface that it came in by: a hairpin.
    pub const RETURNED: u8 = 1 << 2;
    /// Not translated: the answer to a connection that the node itself made from a port that is also
    /// a frontend's. It belongs to the host's stack.
    pub const BYPASS: u8 = 1 << 3;
    /// Client and backend are ports of one bridge that switches past netfilter: the packet gets the
    /// backend's link-layer address, so that conntrack sees neither direction, as it would without
    /// svc-lb. While that address is not known, the host's stack takes the packet.
    pub const SWITCHED: u8 = 1 << 4;
    /// It counts in its backend's [`BackendLoad`](crate::backend::BackendLoad).
    pub const COUNTED: u8 = 1 << 5;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether svc-lb sends the packet on by itself.
    #[inline(always)]
    pub const fn leaves_by_itself(&self) -> bool {
        self.flags & (Self::ROUTED | Self::RETURNED) != 0
    }

    /// Whether packets of this direction go to a next hop past the host's stack.
    #[inline(always)]
    pub const fn has_next_hop(&self) -> bool {
        self.has(Self::ROUTED) || self.flags & (Self::SWITCHED | Self::REPLY) == Self::SWITCHED
    }

    /// The key of the other direction.
    #[inline(always)]
    pub fn partner_key(&self, protocol: u16) -> FlowKey<A> {
        FlowKey { tuple: self.rewrite.reversed(), protocol, hook: self.partner_hook.into() }
    }

    /// The other direction, as it was when the flow was made: last seen with this one, same state, its
    /// next hop not looked up yet. A reply that is switched needs nobody's help.
    #[inline(always)]
    pub fn partner(&self, key: &FlowKey<A>) -> Self {
        let mut partner = *self;
        partner.turn(key);
        partner
    }

    /// Makes a flow with this key its [partner](Self::partner), where it is.
    #[inline(always)]
    pub fn turn(&mut self, key: &FlowKey<A>) {
        self.rewrite = key.tuple.reversed();
        self.partner_hook = key.hook as u8;
        self.flags ^= Self::REPLY;
        self.address_difference = checksum::reverse(self.address_difference);
        self.port_difference = checksum::reverse(self.port_difference);
        self.next_hop = NextHop::default();
        self.route_generation = 0;
    }

    /// Notes what the change from these addresses and ports adds to checksums.
    #[inline(always)]
    pub fn set_differences(&mut self, from: &Tuple<A>) {
        let to = &self.rewrite;
        self.address_difference = checksum::difference(from.address_sum(), to.address_sum());
        self.port_difference = checksum::difference(from.port_sum(), to.port_sum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{address::Be16, connection::State};
    use core::net::Ipv4Addr;

    #[test]
    fn a_period_ends_everywhere_at_once() {
        let ends: u32 = (0..100).map(|time| u32::from(!is_one_period(time, time + 1))).sum();
        assert_eq!(ends, 100 / PERIOD);
        assert!(is_one_period(8, 8 + PERIOD - 1) && !is_one_period(7, 8) && !is_one_period(0, u32::MAX));
    }

    #[test]
    fn the_partner_of_the_partner_is_the_flow_itself() {
        let address = |last| Ipv4::from(Ipv4Addr::new(10, 0, 0, last));
        let key = FlowKey {
            tuple: Tuple {
                source: address(1),
                destination: address(2),
                source_port: Be16::new(40000),
                destination_port: Be16::new(80),
            },
            protocol: TCP,
            hook: Hook::PodIngress as u16,
        };
        let mut flow = Flow {
            rewrite: Tuple { destination: address(3), destination_port: Be16::new(8080), ..key.tuple },
            service: 7,
            backend: 9,
            generation: 3,
            last_seen: 55,
            state: State::REPLIED,
            partner_hook: Hook::PodEgress as u8,
            flags: 0,
            ..Flow::default()
        };
        flow.set_differences(&key.tuple);
        let partner_key = flow.partner_key(TCP);
        assert_eq!(partner_key.tuple.source, address(3));
        assert_eq!(partner_key.tuple.destination, address(1));
        assert_eq!(partner_key.hook, Hook::PodEgress as u16);
        let partner = flow.partner(&key);
        assert!(partner.has(Flow::<Ipv4>::REPLY));
        assert_eq!(partner.rewrite.source, address(2));
        assert_eq!(partner.partner_key(TCP), key);
        assert_eq!(partner.partner(&partner_key), flow);
    }
}
