//! The floors: what a program cannot do without that does a part of svc-lb's work, and nothing else. A packet
//! that does not take the whole way is counted as missed, and makes the benchmark fail.

use crate::{
    frame::{self, ETHERNET, TCP_CHECKSUM, Wire},
    maps,
};
use aya_ebpf::{
    bindings::{
        BPF_F_PSEUDO_HDR, BPF_FIB_LKUP_RET_SUCCESS, BPF_NOEXIST, TC_ACT_UNSPEC, bpf_fib_lookup,
        xdp_action::XDP_TX,
    },
    helpers::generated,
    programs::{TcContext, XdpContext},
};
use core::intrinsics::{self, AtomicOrdering};
use svc_lb_bench_ebpf::ADDRESSES;
use svc_lb_common::{
    address::Tuple,
    checksum,
    flow::{Flow, FlowKey, Hook, NextHop},
    frontend::FrontendKey,
    link::{LinkAddress, LinkAddresses},
};

/// `BPF_F_IPV6` of linux/bpf.h: no IP header checksum makes up for the change of an address.
const BPF_F_IPV6: u64 = 1 << 7;

/// The verdict; for a packet that has none the default, which is `XDP_ABORTED` and `TC_ACT_OK`.
#[inline(always)]
pub fn or_miss<T: Default>(verdict: Option<T>) -> T {
    verdict.unwrap_or_else(|| {
        maps::count_miss();
        T::default()
    })
}

/// (a) Parses the packet and sends it back.
#[inline(always)]
pub fn turn<A: Wire>(context: &XdpContext) -> Option<u32> {
    let start = context.data();
    if start + A::LENGTH > context.data_end() {
        return None;
    }
    // SAFETY: all headers lie within the packet.
    unsafe {
        let key = A::key(start)?;
        if key.tuple.source_port == key.tuple.destination_port {
            return None;
        }
        frame::turn(start);
    }
    Some(XDP_TX)
}

/// (b) Parses the packet, looks its flow up, translates it and sends it back.
#[inline(always)]
pub fn translate<A: Wire>(context: &XdpContext) -> Option<u32> {
    let start = context.data();
    if start + A::LENGTH > context.data_end() {
        return None;
    }
    // SAFETY: all headers lie within the packet, and entries of the flow table stay where they are.
    unsafe {
        let key = A::key(start)?;
        let flow = A::flows().get(&key)?;
        A::rewrite(start, &key.tuple, &flow.rewrite);
        frame::turn(start);
    }
    Some(XDP_TX)
}

/// (b) for tc: parses the packet, looks its flow up, and translates it by the kernel's helpers.
#[inline(always)]
pub fn translate_in_tc<A: Wire>(context: &TcContext) -> Option<i32> {
    let start = context.data();
    if start + A::LENGTH > context.data_end() {
        return None;
    }
    // SAFETY: as above.
    let (key, flow, old) = unsafe {
        let key = A::key(start)?;
        let flow = A::flows().get(&key)?;
        (key, flow, frame::read::<A::Rewritten>(start + A::REWRITTEN))
    };
    let (from, to) = (&key.tuple, &flow.rewrite);
    let tcp = ETHERNET + A::HEADER_LENGTH;
    let pseudo_header = u64::from(BPF_F_PSEUDO_HDR) | if A::VERSION == 6 { BPF_F_IPV6 } else { 0 };
    let addresses = u64::from(checksum::difference(from.address_sum(), to.address_sum()));
    let ports = u64::from(checksum::difference(from.port_sum(), to.port_sum()));
    context.store(A::REWRITTEN, &A::rewritten(old, from, to, 0), 0).ok()?;
    context.store(tcp, &[to.source_port, to.destination_port], 0).ok()?;
    context.l4_csum_replace(tcp + TCP_CHECKSUM, 0, addresses, pseudo_header).ok()?;
    context.l4_csum_replace(tcp + TCP_CHECKSUM, 0, ports, 0).ok()?;
    Some(TC_ACT_UNSPEC)
}

/// (c) Parses the packet, looks for its flow in vain, looks its frontend up, takes the next backend, asks
/// where to send it, and remembers both directions.
#[inline(always)]
pub fn connect<A: Wire>(context: &XdpContext) -> Option<u32> {
    let start = context.data();
    if start + A::LENGTH > context.data_end() {
        return None;
    }
    // SAFETY: all headers lie within the packet.
    let key = unsafe { A::key(start)? };
    if A::connected().get_ptr(&key).is_some() {
        return None;
    }
    let FlowKey { tuple, protocol, hook } = key;
    let frontend = FrontendKey { address: tuple.destination, port: tuple.destination_port, protocol };
    // SAFETY: entries of the table of frontends stay where they are.
    let service = unsafe { A::frontends().get(frontend)? }.service;
    // SAFETY: an aligned pointer into a map value.
    let cursor =
        unsafe { intrinsics::atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(maps::cursor()?, 1) };
    let index = cursor % ADDRESSES;
    let backend = A::choices().get(index)?;
    let rewrite = Tuple {
        source: tuple.destination,
        destination: backend.address,
        source_port: tuple.source_port,
        destination_port: backend.port,
    };
    let flow = Flow {
        rewrite,
        service,
        backend: index,
        generation: backend.generation,
        partner_hook: hook as u8,
        next_hop: next_hop::<A>(context, &rewrite)?,
        ..Flow::default()
    };
    let partner_key = FlowKey { tuple: rewrite.reversed(), protocol, hook: Hook::UplinkIngress as u16 };
    let partner = Flow { rewrite: tuple.reversed(), next_hop: NextHop::default(), ..flow };
    A::connected().insert(&partner_key, &partner, u64::from(BPF_NOEXIST)).ok()?;
    A::connected().insert(&key, &flow, u64::from(BPF_NOEXIST)).ok()?;
    Some(XDP_TX)
}

/// Where the node would send a packet with these addresses.
#[inline(always)]
fn next_hop<A: Wire>(context: &XdpContext, tuple: &Tuple<A>) -> Option<NextHop> {
    // SAFETY: integers only, for which zero is valid.
    let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    query.family = A::AF;
    // SAFETY: the context is this program's.
    query.ifindex = unsafe { (*context.ctx).ingress_ifindex };
    A::query(&mut query, tuple);
    let length = size_of::<bpf_fib_lookup>() as i32;
    // SAFETY: the query is as long as is said.
    let result = unsafe { generated::bpf_fib_lookup(context.ctx.cast(), &raw mut query, length, 0) };
    let link = LinkAddresses::new(words(query.dmac), words(query.smac));
    (result as u32 == BPF_FIB_LKUP_RET_SUCCESS).then(|| NextHop {
        link,
        ifindex: query.ifindex,
        ..NextHop::default()
    })
}

/// A link-layer address as words.
#[inline(always)]
fn words([a, b, c, d, e, f]: [u8; 6]) -> LinkAddress {
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]), u16::from_ne_bytes([e, f])]
}
