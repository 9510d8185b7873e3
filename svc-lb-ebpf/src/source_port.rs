//! The source port of a new flow: one under which the backend's packets are told from those of every
//! other flow.

use crate::{config, maps, packet::Family};
use aya_ebpf::helpers::generated::bpf_loop;
use core::ffi::c_void;
use svc_lb_common::{address::Be16, flow::FlowKey, hash, snat::Attempt};

/// Picks the port of the drafted flow and inserts the reply's entry with it. The client's own port comes
/// first: under the client's own address always, under the node's if it is in the range. `false`: every
/// port that was tried belongs to a live flow.
#[inline(always)]
pub fn reserve<A: Family>(key: &FlowKey<A>) -> bool {
    let Some(scratch) = maps::scratch::<A>() else { return false };
    let own = scratch.masqueraded == 0 || config::snat_ports().contains(key.tuple.source_port.get());
    scratch.pair_translated(key);
    if own && scratch.place.insert(&scratch.partner_key, &scratch.partner) {
        return true;
    }
    scratch.probe = Probe { hash: hash::hash(&key.tuple), own: u32::from(own), reserved: 0 };
    // SAFETY: the callback asks for no context, and lives as long as the program.
    unsafe { bpf_loop(Attempt::COUNT, attempt::<A> as *mut c_void, core::ptr::null_mut(), 0) };
    // Looked up anew: the callback wrote to it behind the compiler's back.
    maps::scratch::<A>().is_some_and(|scratch| scratch.probe.reserved != 0)
}

/// What an attempt must know, and what came of it. It is kept in the scratch, where the verifier does
/// not follow it from attempt to attempt.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Probe {
    /// Where the walk through the range begins.
    hash: u32,
    /// 1: the client's own port may be tried.
    own: u32,
    /// 1: an attempt succeeded.
    reserved: u32,
}

/// One attempt, called by `bpf_loop`, which the verifier follows once and not for every attempt; 1 ends
/// the loop.
///
/// # Safety
/// For `bpf_loop` alone, which calls it on the processor whose scratch and headers it uses.
unsafe extern "C" fn attempt<A: Family>(number: u32, _context: *mut c_void) -> i64 {
    let (Some(scratch), Some(headers)) = (maps::scratch::<A>(), maps::headers::<A>()) else { return 1 };
    let Attempt { port, need } = Attempt::number(number);
    scratch.flow.rewrite.source_port = if port > 0 {
        Be16::new(config::snat_ports().candidate(scratch.probe.hash, port - 1))
    } else if scratch.probe.own != 0 {
        headers.key.tuple.source_port
    } else {
        return 0;
    };
    scratch.pair_translated(&headers.key);
    let (place, key) = (scratch.place, &scratch.partner_key);
    let reserved = place.displace(key, need) && place.insert(key, &scratch.partner);
    scratch.probe.reserved = u32::from(reserved);
    i64::from(reserved)
}
