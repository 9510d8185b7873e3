//! Which backend of a list a new flow gets.

use crate::{
    atomic,
    choice::Client,
    load,
    maps::{self, Maps},
};
use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use svc_lb_common::{
    backend::Backend,
    selection::{self, Algorithm},
    service::{Service, SlotRange},
};

/// A backend and its index in `BACKENDS_V4/6`.
pub struct Selected<A: 'static> {
    /// Index.
    pub index: u32,
    /// Entry.
    pub backend: &'static Backend<A>,
}

/// Takes a backend of a list of a service by the service's algorithm; `None` if the list is empty.
#[inline(always)]
pub fn one<A: Maps>(service: &Service, slots: &SlotRange, client: &impl Client<A>) -> Option<Selected<A>> {
    let length = slots.length;
    if length == 0 {
        return None;
    }
    let is = |algorithm: Algorithm| service.algorithm == algorithm as u16;
    if is(Algorithm::LeastConnections) {
        let (one, other) = (any::<A>(slots)?, any::<A>(slots)?);
        let lighter = load::of::<A>(one.index) <= load::of::<A>(other.index);
        return Some(if lighter { one } else { other });
    }
    if is(Algorithm::Random) {
        return any(slots);
    }
    if is(Algorithm::Maglev) {
        return at(slots, selection::scaled(client.number(), length));
    }
    let cursor = atomic::fetch_add(maps::cursor(slots.cursor)?, 1);
    at(slots, selection::round_robin(cursor, length)?)
}

/// Takes any backend of a list.
#[inline(always)]
fn any<A: Maps>(slots: &SlotRange) -> Option<Selected<A>> {
    at(slots, selection::scaled(any_number(), slots.length))
}

/// Any number.
#[inline(always)]
pub fn any_number() -> u32 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_get_prandom_u32() }
}

/// Takes the backend in a slot of a list.
#[inline(always)]
fn at<A: Maps>(slots: &SlotRange, slot: u32) -> Option<Selected<A>> {
    let index = maps::slot(slots.first + slot)?;
    Some(Selected { index, backend: maps::backend(index)? })
}
