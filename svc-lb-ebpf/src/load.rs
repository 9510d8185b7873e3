//! How many connections a backend has open, where that decides who gets the next one.

use crate::{
    atomic,
    maps::{self, Maps},
};
use svc_lb_common::{
    address::{Ipv4, Ipv6},
    backend::BackendLoad,
    flow::Flow,
    socket::Remote,
};

/// The open connections of a backend.
#[inline(always)]
pub fn of<A: Maps>(index: u32) -> i32 {
    let Some(load) = maps::backend_load::<A>(index) else { return 0 };
    // SAFETY: a pointer into a map value; volatile because other processors change it.
    let BackendLoad { flows, sockets } = unsafe { core::ptr::read_volatile(load) };
    flows.saturating_add(sockets)
}

/// A flow is there that counts.
#[inline(always)]
pub fn flow_opened<A: Maps>(flow: &Flow<A>) {
    if flow.has(Flow::<A>::COUNTED) {
        add_to_flows::<A>(flow.backend, 1);
    }
}

/// A flow is closed, or gone without having been: it counts no more.
#[inline(always)]
pub fn flow_closed<A: Maps>(flow: &Flow<A>) {
    if flow.has(Flow::<A>::COUNTED) && is_of::<A>(flow.backend, flow.generation) {
        add_to_flows::<A>(flow.backend, -1);
    }
}

#[inline(always)]
fn add_to_flows<A: Maps>(index: u32, count: i32) {
    if let Some(load) = maps::backend_load::<A>(index) {
        // SAFETY: a pointer into a map value; only the address is taken.
        atomic::add(unsafe { &raw mut (*load).flows }, count);
    }
}

/// A socket was sent straight to a backend.
#[inline(always)]
pub fn socket_opened(backend: &Remote, index: u32) {
    match backend.v4() {
        Some(_) => add_to_sockets::<Ipv4>(index, 1),
        None => add_to_sockets::<Ipv6>(index, 1),
    }
}

/// A socket that was sent straight to a backend of a generation speaks to it no more.
#[inline(always)]
pub fn socket_closed(backend: &Remote, index: u32, generation: u32) {
    match backend.v4() {
        Some(_) if is_of::<Ipv4>(index, generation) => add_to_sockets::<Ipv4>(index, -1),
        None if is_of::<Ipv6>(index, generation) => add_to_sockets::<Ipv6>(index, -1),
        _ => {}
    }
}

/// Whether a backend is still the one of a generation.
#[inline(always)]
fn is_of<A: Maps>(index: u32, generation: u32) -> bool {
    maps::backend::<A>(index).is_some_and(|backend| backend.generation == generation)
}

#[inline(always)]
fn add_to_sockets<A: Maps>(index: u32, count: i32) {
    if let Some(load) = maps::backend_load::<A>(index) {
        // SAFETY: as above.
        atomic::add(unsafe { &raw mut (*load).sockets }, count);
    }
}
