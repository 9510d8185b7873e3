//! Which backend a new flow gets.

use crate::{
    atomic,
    maps::{self, Maps},
};
use svc_lb_common::{backend::Backend, selection, service::SlotRange};

/// A backend and its index in `BACKENDS_V4/6`.
pub struct Selected<A: 'static> {
    /// Index.
    pub index: u32,
    /// Entry.
    pub backend: &'static Backend<A>,
}

/// Takes the next backend of a list; `None` if the list is empty.
#[inline(always)]
pub fn next<A: Maps>(slots: &SlotRange) -> Option<Selected<A>> {
    if slots.length == 0 {
        return None;
    }
    let cursor = atomic::fetch_add(maps::cursor(slots.cursor)?, 1);
    let slot = slots.first + selection::round_robin(cursor, slots.length)?;
    let index = maps::slot(slot)?;
    Some(Selected { index, backend: maps::backend(index)? })
}
