//! Counting, per processor and therefore without atomics.

use crate::maps;
use svc_lb_common::counters::{DropReason, Program};

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
