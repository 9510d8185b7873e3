//! The dataplane's clock: seconds, from the kernel's ticks, because reading those costs nothing.

use crate::config;
use aya_ebpf::helpers::generated::bpf_jiffies64;

/// The time in seconds since some moment before the machine started; it wraps after 136 years.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: the helper takes no arguments.
    let jiffies = unsafe { bpf_jiffies64() };
    (jiffies.wrapping_mul(config::seconds_per_jiffy()) >> 32) as u32
}
