//! What stands before the program that is measured. The kernel does not restore the packet between the
//! repetitions of a test run, so this writes a new one each time; what it costs is measured by itself.

use crate::{frame::ETHERNET, maps};
use aya_ebpf::{
    bindings::{TC_ACT_SHOT, xdp_action::XDP_ABORTED},
    programs::{TcContext, XdpContext},
};
use svc_lb_bench_ebpf::{ADDRESSES, LENGTH_V6, PORTS};

/// Writes the headers of the next packet. Its checksums are those of flow 0: they are updated, not verified.
#[inline(always)]
pub fn write<const LENGTH: usize>(start: usize, end: usize) {
    if start + LENGTH > end {
        return maps::count_miss();
    }
    let Some(course) = maps::course() else { return };
    let number = course.made;
    course.made = number.wrapping_add(1);
    let flow = number.wrapping_mul(course.stride) & course.mask;
    if course.unhurried != 0 {
        maps::reset_rate();
    }
    let [addresses, source] = course.link;
    let words = (LENGTH - ETHERNET) / size_of::<u64>();
    // SAFETY: within the packet, whose length was compared; BPF stores have no alignment on the architectures
    // that it runs on.
    unsafe {
        *(start as *mut u64) = addresses;
        *((start + 8) as *mut u32) = source as u32;
        *((start + 12) as *mut u16) = course.ether_type;
        for word in 0..words {
            *((start + ETHERNET) as *mut u64).add(word) = course.packet[word];
        }
        if LENGTH == LENGTH_V6 {
            *((start + ETHERNET + words * size_of::<u64>()) as *mut u32) = course.packet[words] as u32;
        }
    }
    let address = flow % ADDRESSES + flow / (ADDRESSES * PORTS) * ADDRESSES;
    add(start + (usize::from(course.address) & 0x3f), end, address);
    let port = flow / ADDRESSES % PORTS;
    add(start + (usize::from(course.ports) & 0x3f), end, port << (course.shift & 0x1f));
}

/// Adds to a word of a packet.
#[inline(always)]
fn add(word: usize, end: usize, number: u32) {
    if word + size_of::<u32>() <= end {
        let word = word as *mut u32;
        // SAFETY: as above.
        unsafe { *word = u32::from_be(*word).wrapping_add(number).to_be() }
    }
}

/// Goes on with the program that is measured.
#[inline(always)]
pub fn run_xdp(context: &XdpContext) -> u32 {
    // SAFETY: nothing here is to be dropped.
    unsafe { maps::XDP_PROGRAM.tail_call(context, 0) };
    maps::count_miss();
    XDP_ABORTED
}

/// The same for tc.
#[inline(always)]
pub fn run_tc(context: &TcContext) -> i32 {
    // SAFETY: as above.
    unsafe { maps::TC_PROGRAM.tail_call(context, 0) };
    maps::count_miss();
    TC_ACT_SHOT as i32
}
