//! Atomic operations on shared map memory. `core::sync::atomic` has none on this target.

use core::intrinsics::{self, AtomicOrdering};

/// Adds to a number that other processors add to as well; gives what it was before.
#[inline(always)]
pub fn fetch_add(number: *mut u32, value: u32) -> u32 {
    // Relaxed would do, but LLVM 22 makes of it the instruction that does not give the old number, and
    // goes on with the new register as if it did.
    //
    // SAFETY: callers pass an aligned pointer into a map value, which the verifier has checked.
    unsafe { intrinsics::atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(number, value) }
}

/// Adds to a number that other processors add to as well.
#[inline(always)]
pub fn add(number: *mut i32, value: i32) {
    // SAFETY: as above.
    unsafe {
        intrinsics::atomic_xadd::<i32, i32, { AtomicOrdering::Relaxed }>(number, value);
    }
}

/// Counts one more.
#[inline(always)]
pub fn increment(number: *mut u64) {
    // SAFETY: as above.
    unsafe {
        intrinsics::atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(number, 1);
    }
}

/// Sets bits of a number that other processors change as well.
#[inline(always)]
pub fn set_bits(number: *mut u32, bits: u32) {
    // SAFETY: as above.
    unsafe {
        intrinsics::atomic_or::<u32, u32, { AtomicOrdering::Relaxed }>(number, bits);
    }
}

/// Clears bits of a number that other processors change as well.
#[inline(always)]
pub fn clear_bits(number: *mut u32, bits: u32) {
    // SAFETY: as above.
    unsafe {
        intrinsics::atomic_and::<u32, u32, { AtomicOrdering::Relaxed }>(number, !bits);
    }
}
