//! Counting, per processor. What counts packets needs no atomics for it. What counts for sockets does: an
//! application's call may be interrupted by a packet, or by another application.

use crate::{atomic, maps};
use svc_lb_common::counters::{DropReason, Program, ProgramCounters};

/// Counts a new flow of a service.
#[inline(always)]
pub fn new_flow(service: u32) {
    if let Some(counters) = maps::service_counters(service) {
        // SAFETY: a pointer into this processor's value, which nothing else writes meanwhile.
        unsafe { (*counters).new_flows += 1 }
    }
}

/// Counts a packet that a program rewrote, of so many bytes from the IP header on.
#[inline(always)]
pub fn rewritten(program: Program, service: u32, reply: bool, bytes: u32) {
    if let Some(counters) = maps::service_counters(service) {
        // SAFETY: as above.
        unsafe {
            if reply {
                (*counters).reply_packets += 1;
                (*counters).reply_bytes += u64::from(bytes);
            } else {
                (*counters).forward_packets += 1;
                (*counters).forward_bytes += u64::from(bytes);
            }
        }
    }
    if let Some(counters) = maps::program_counters(program) {
        // SAFETY: as above.
        unsafe {
            if reply {
                (*counters).replied += 1;
            } else {
                (*counters).forwarded += 1;
            }
        }
    }
}

/// Counts a packet that a program answered instead of passing it on.
#[inline(always)]
pub fn rejected(program: Program) {
    if let Some(counters) = maps::program_counters(program) {
        // SAFETY: as above.
        unsafe { (*counters).rejected += 1 }
    }
}

/// Counts an echo request that a program answered.
#[inline(always)]
pub fn echoed(program: Program) {
    if let Some(counters) = maps::program_counters(program) {
        // SAFETY: as above.
        unsafe { (*counters).echoed += 1 }
    }
}

/// Counts a packet that a program dropped.
#[inline(always)]
pub fn dropped(program: Program, reason: DropReason) {
    if let Some(count) = maps::drops(reason) {
        // SAFETY: as above.
        unsafe { *count += 1 }
    }
    if let Some(counters) = maps::program_counters(program) {
        // SAFETY: as above.
        unsafe { (*counters).dropped += 1 }
    }
}

/// Counts a socket that was sent to a backend of a service.
#[inline(always)]
pub fn socket_connection(program: Program, service: u32) {
    if let Some(counters) = maps::service_counters(service) {
        // SAFETY: a pointer into this processor's value; only the address is taken.
        atomic::increment(unsafe { &raw mut (*counters).socket_connections });
    }
    socket_sent(program);
}

/// Counts what a program for sockets sent to a backend.
#[inline(always)]
pub fn socket_sent(program: Program) {
    // SAFETY: as above.
    increment(program, |counters| unsafe { &raw mut (*counters).forwarded });
}

/// Counts what a socket received from a backend.
#[inline(always)]
pub fn socket_received(program: Program) {
    // SAFETY: as above.
    increment(program, |counters| unsafe { &raw mut (*counters).replied });
}

/// Counts a call that a program for sockets answered with an error, because nobody is there.
#[inline(always)]
pub fn socket_rejected(program: Program) {
    // SAFETY: as above.
    increment(program, |counters| unsafe { &raw mut (*counters).rejected });
}

/// Counts a call that a program for sockets answered with an error, because packets would be dropped.
#[inline(always)]
pub fn socket_dropped(program: Program, reason: DropReason) {
    if let Some(count) = maps::drops(reason) {
        atomic::increment(count);
    }
    // SAFETY: as above.
    increment(program, |counters| unsafe { &raw mut (*counters).dropped });
}

/// Counts one more in a field of a program's counters.
#[inline(always)]
fn increment(program: Program, field: impl FnOnce(*mut ProgramCounters) -> *mut u64) {
    if let Some(counters) = maps::program_counters(program) {
        atomic::increment(field(counters));
    }
}
