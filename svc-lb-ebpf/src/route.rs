//! The next hop of what svc-lb sends on by itself.

use crate::{
    flow::Found,
    maps::{self, Maps},
    packet::{Family, Packet},
};
use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup, bpf_redir_neigh,
        bpf_redir_neigh__bindgen_ty_1,
    },
    helpers::generated,
};
use svc_lb_common::{
    address::{Address, Ipv4, Ipv6, Tuple},
    flow::{CachedNextHop, Flow},
    interface::{Interface, slot},
};

/// Where a packet goes next. It is kept in the scratch: the verifier need not follow the rest of the
/// program once for every way to know it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NextHop {
    /// The interface to send it by.
    pub ifindex: u32,
    /// The longest packet that the way takes, in bytes from the IP header on.
    pub mtu: u32,
    /// The family of the neighbour's IP address: an IPv4 route may lead by an IPv6 gateway.
    family: u32,
    /// The neighbour's IP address: a gateway's, or the destination itself. Not known of one that a flow
    /// has kept, which is resolved.
    address: [u32; 4],
    /// The neighbour's link-layer address, once it is resolved.
    pub destination: [u16; 3],
    /// The interface's link-layer address.
    pub source: [u16; 3],
    /// The flags of the [`Interface`]; none if svc-lb does not serve it.
    interface: u16,
    /// 1: the neighbour's link-layer address is known.
    resolved: u16,
}

impl NextHop {
    /// Whether a flag of the interface is set.
    #[inline(always)]
    pub fn is_by(&self, flag: u16) -> bool {
        self.interface & flag != 0
    }

    /// Whether the neighbour's link-layer address is known.
    #[inline(always)]
    pub fn is_resolved(&self) -> bool {
        self.resolved != 0
    }

    /// The neighbour, for the kernel to resolve.
    #[inline(always)]
    pub fn neighbour(&self) -> bpf_redir_neigh {
        bpf_redir_neigh {
            nh_family: self.family,
            __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: self.address },
        }
    }

    /// The next hop that a flow has kept from a packet of this second, while no route has changed.
    #[inline(always)]
    pub fn kept_by<A: Maps>(found: &Found<A>, now: u32) -> Option<&'static Self> {
        let (kept, mtu) = found.next_hop(now)?;
        let interface = maps::interface_at(u32::from(kept.slot()))?;
        let hop = &mut maps::scratch::<A>()?.next_hop;
        // Its IP address stays what it was: nobody asks for that of a neighbour that is resolved.
        hop.ifindex = interface.index;
        hop.mtu = u32::from(mtu);
        hop.destination = kept.mac();
        hop.source = interface.mac;
        hop.interface = interface.flags;
        hop.resolved = 1;
        Some(hop)
    }

    /// Notes the next hop in a flow, if it is one that can be kept.
    #[inline(always)]
    pub fn keep_in<A: Address>(&self, flow: &mut Flow<A>) {
        if let (Some(kept), Some(generation)) = (self.to_keep(), maps::route_generation()) {
            flow.next_hop = kept;
            flow.mtu = self.mtu as u16;
            flow.route_generation = generation;
        }
    }

    /// The same for a flow that other processors use meanwhile.
    #[inline(always)]
    pub fn keep_in_table<A: Maps>(&self, found: &Found<A>) {
        if let (Some(kept), Some(generation)) = (self.to_keep(), maps::route_generation()) {
            found.keep_next_hop(kept, self.mtu as u16, generation);
        }
    }

    /// As a flow keeps it: resolved, and by an interface that has its slot.
    #[inline(always)]
    fn to_keep(&self) -> Option<CachedNextHop> {
        let slot = slot(self.ifindex);
        let interface = maps::interface_at(slot)?;
        let keeps = self.is_resolved() && interface.index == self.ifindex;
        keeps.then(|| CachedNextHop::new(slot as u16, self.destination))
    }
}

/// The bridge of which an interface is a port, if it switches past netfilter.
#[inline(always)]
pub fn bridge_of<A: Address>(ifindex: u32) -> Option<u32> {
    let flag = if A::VERSION == Ipv4::VERSION { Interface::SWITCHED_V4 } else { Interface::SWITCHED_V6 };
    let interface = maps::interface(ifindex)?;
    interface.has(flag).then_some(interface.master)
}

/// Looks up where the node would send a packet with these addresses; `None` where it would not send it
/// out of an interface: the destination is the node's own, or there is no route.
#[inline(never)]
pub fn look_up<P: Packet, A: Family>(packet: P, tuple: &Tuple<A>, protocol: u16) -> Option<&'static NextHop> {
    // SAFETY: integers only, for which zero is valid.
    let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    query.family = A::AF;
    query.l4_protocol = protocol as u8;
    // A length that every way takes makes the kernel say how much this one does.
    query.__bindgen_anon_1.tot_len = 1;
    query.ifindex = maps::interface(packet.ifindex()).map_or(packet.ifindex(), |interface| interface.master);
    A::query(&mut query, tuple);
    // SAFETY: the context is this program's, and the query is as long as is said.
    let result = unsafe {
        generated::bpf_fib_lookup(packet.pointer(), &raw mut query, size_of::<bpf_fib_lookup>() as i32, 0)
    };
    let resolved = match result as u32 {
        BPF_FIB_LKUP_RET_SUCCESS => true,
        BPF_FIB_LKUP_RET_NO_NEIGH => false,
        _ => return None,
    };
    let interface = maps::interface(query.ifindex);
    let mtu = if resolved {
        // SAFETY: both members of the union are integers.
        u32::from(unsafe { query.__bindgen_anon_1.mtu_result })
    } else {
        interface.map_or(u32::from(u16::MAX), |interface| interface.mtu)
    };
    // SAFETY: every member of the union is made of integers, valid for every bit pattern.
    let address = unsafe { query.__bindgen_anon_4.ipv6_dst };
    let hop = &mut maps::scratch::<A>()?.next_hop;
    *hop = NextHop {
        ifindex: query.ifindex,
        mtu,
        family: u32::from(query.family),
        address: if query.family == Ipv6::AF { address } else { [address[0], 0, 0, 0] },
        destination: words(query.dmac),
        source: words(query.smac),
        interface: interface.map_or(0, |interface| interface.flags),
        resolved: u16::from(resolved),
    };
    Some(hop)
}

/// A link-layer address as words.
#[inline(always)]
fn words(bytes: [u8; 6]) -> [u16; 3] {
    let [a, b, c, d, e, f] = bytes;
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]), u16::from_ne_bytes([e, f])]
}
