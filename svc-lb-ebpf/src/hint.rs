//! Whether an address may be that of a flow or of a frontend, by the index of its hint.

use crate::maps::Maps;
use svc_lb_common::hint;

/// Whether a hint is set.
#[inline(always)]
pub fn is_set<A: Maps>(index: u32) -> bool {
    // SAFETY: a pointer into a map value; volatile because other processors and the agent change it.
    A::hints().get_ptr(index).is_some_and(|hint| unsafe { core::ptr::read_volatile(hint) } != 0)
}

/// Sets a hint. It is written once: all processors read it.
#[inline(always)]
pub fn set<A: Maps>(index: u32) {
    let Some(hint) = A::hints().get_ptr_mut(index) else { return };
    // SAFETY: as above.
    unsafe {
        if core::ptr::read_volatile(hint) == 0 {
            core::ptr::write_volatile(hint, hint::SET);
        }
    }
}
