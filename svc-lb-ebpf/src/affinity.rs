//! Which backend a client had last: `sessionAffinity: ClientIP`.

use crate::{
    maps::{self, Maps},
    select::Selected,
};
use svc_lb_common::{
    affinity::{Affinity, AffinityKey},
    timeout::is_past,
};

/// The backend that a client had last, if that was not too long ago and it is still in a list: one of the
/// flags of a backend. From now on it had it now.
#[inline(always)]
pub fn find<A: Maps>(client: &AffinityKey<A>, timeout: u32, list: u16, now: u32) -> Option<Selected<A>> {
    let affinity = maps::affinity(client)?;
    // SAFETY: a pointer into a map value; volatile because other processors change it. An entry that is
    // evicted meanwhile may be reused: an accepted risk of every LRU table, of some nanoseconds.
    let Affinity { backend: index, generation, last_used } = unsafe { core::ptr::read_volatile(affinity) };
    let backend = maps::backend::<A>(index)?;
    if is_past(timeout, last_used, now) || backend.generation != generation || !backend.has(list) {
        return None;
    }
    if last_used != now {
        // SAFETY: as above; only the one field is written.
        unsafe { core::ptr::write_volatile(&raw mut (*affinity).last_used, now) };
    }
    Some(Selected { index, backend })
}

/// Remembers the backend that a client got.
#[inline(always)]
pub fn keep<A: Maps>(client: &AffinityKey<A>, selected: &Selected<A>, now: u32) {
    let Selected { index, backend } = selected;
    let affinity = Affinity { backend: *index, generation: backend.generation, last_used: now };
    maps::keep_affinity(client, &affinity);
}
