//! The next hop of what svc-lb sends on by itself.

use crate::{
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
    flow::NextHop,
    interface::Interface,
    link::{LinkAddress, LinkAddresses},
};

/// A neighbour that the kernel is to resolve.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Neighbour {
    /// The family of its IP address: an IPv4 route may lead by an IPv6 gateway.
    family: u32,
    /// Its IP address: a gateway's, or the destination itself.
    address: [u32; 4],
}

/// The neighbour of the next hop that was looked up last.
#[inline(always)]
pub fn neighbour<A: Maps>() -> Option<bpf_redir_neigh> {
    let Neighbour { family, address } = maps::scratch::<A>()?.neighbour;
    let address = bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: address };
    Some(bpf_redir_neigh { nh_family: family, __bindgen_anon_1: address })
}

/// The bridge of which an interface is a port, if it switches past netfilter.
#[inline(always)]
pub fn bridge_of<A: Address>(ifindex: u32) -> Option<u32> {
    let flag = if A::VERSION == Ipv4::VERSION { Interface::SWITCHED_V4 } else { Interface::SWITCHED_V6 };
    let interface = maps::interface(ifindex)?;
    interface.has(flag).then_some(interface.master)
}

/// Looks up where the node would send a packet with these addresses; `None` where it would not send it
/// out of an interface: the destination is the node's own, or there is no route. It is kept in the scratch: the
/// verifier need not follow the rest of the program once for every way to know it.
#[inline(never)]
pub fn look_up<P: Packet, A: Family>(packet: P, tuple: &Tuple<A>, protocol: u16) -> Option<&'static NextHop> {
    let scratch = maps::scratch::<A>()?;
    scratch.route_generation = maps::route_generation()?;
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
        unsafe { query.__bindgen_anon_1.mtu_result }
    } else {
        interface.map_or(u16::MAX, |interface| interface.mtu.min(u16::MAX.into()) as u16)
    };
    // SAFETY: every member of the union is made of integers, valid for every bit pattern.
    let address = unsafe { query.__bindgen_anon_4.ipv6_dst };
    scratch.neighbour = Neighbour {
        family: u32::from(query.family),
        address: if query.family == Ipv6::AF { address } else { [address[0], 0, 0, 0] },
    };
    scratch.next_hop = NextHop {
        link: LinkAddresses::new(words(query.dmac), words(query.smac)),
        ifindex: query.ifindex,
        mtu,
        interface: interface.map_or(0, |interface| interface.flags)
            | if resolved { 0 } else { NextHop::UNRESOLVED },
    };
    Some(&scratch.next_hop)
}

/// A link-layer address as words.
#[inline(always)]
fn words(bytes: [u8; 6]) -> LinkAddress {
    let [a, b, c, d, e, f] = bytes;
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]), u16::from_ne_bytes([e, f])]
}
