//! The next hop of what svc-lb sends on by itself.

use crate::packet::{Family, Packet};
use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup,
    },
    helpers::generated,
};
use svc_lb_common::address::Tuple;

/// Where a packet goes next.
pub struct NextHop<A> {
    /// The interface to send it by.
    pub ifindex: u32,
    /// The neighbour's IP address: a gateway, or the destination itself.
    pub address: A,
    /// The link-layer addresses to send it with, once the neighbour is resolved.
    link: LinkAddresses,
    /// What `bpf_fib_lookup` returned.
    result: u32,
}

impl<A> NextHop<A> {
    /// The link-layer addresses to send the packet with; `None` while the neighbour is not resolved.
    #[inline(always)]
    pub fn link(&self) -> Option<LinkAddresses> {
        (self.result == BPF_FIB_LKUP_RET_SUCCESS).then_some(self.link)
    }
}

/// Link-layer addresses, in words for wide stores.
#[derive(Clone, Copy)]
pub struct LinkAddresses {
    /// The neighbour's.
    pub destination: [u16; 3],
    /// The interface's.
    pub source: [u16; 3],
}

/// Looks up where the node would send a packet with these addresses; `None` where it would not send it
/// out of an interface: the destination is the node's own, or there is no route.
#[inline(never)]
pub fn next_hop<P: Packet, A: Family>(packet: P, tuple: &Tuple<A>, protocol: u16) -> Option<NextHop<A>> {
    // SAFETY: integers only, for which zero is valid.
    let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    query.family = A::AF;
    query.l4_protocol = protocol as u8;
    query.ifindex = packet.ifindex();
    A::query(&mut query, tuple);
    // SAFETY: the context is this program's, and the query is as long as is said.
    let result = unsafe {
        generated::bpf_fib_lookup(packet.pointer(), &raw mut query, size_of::<bpf_fib_lookup>() as i32, 0)
    };
    let result = result as u32;
    match result {
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED => {}
        _ => return None,
    }
    Some(NextHop {
        ifindex: query.ifindex,
        address: A::next_hop(&query),
        link: LinkAddresses { destination: words(query.dmac), source: words(query.smac) },
        result,
    })
}

/// A link-layer address as words.
#[inline(always)]
fn words(bytes: [u8; 6]) -> [u16; 3] {
    let [a, b, c, d, e, f] = bytes;
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]), u16::from_ne_bytes([e, f])]
}
