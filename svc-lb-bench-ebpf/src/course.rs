//! What stands before the program that is measured. The kernel does not restore the packet between the
//! repetitions of a test run, so this writes a new one each time; what it costs is measured by itself.

use crate::maps;
use aya_ebpf::{
    bindings::{TC_ACT_SHOT, xdp_action::XDP_ABORTED},
    programs::{TcContext, XdpContext},
};
use svc_lb_bench_ebpf::{ADDRESSES, PORTS};

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
    let words = LENGTH / size_of::<u64>();
    for word in 0..words {
        // SAFETY: within the packet, whose length was compared; BPF stores have no alignment on the
        // architectures that it runs on.
        unsafe { *(start as *mut u64).add(word) = course.frame[word] }
    }
    let rest = course.frame[words];
    // SAFETY: as above; no frame is longer than whole words and another four and two bytes.
    unsafe {
        if LENGTH % 8 >= 4 {
            *((start + words * 8) as *mut u32) = rest as u32;
            *((start + words * 8 + 4) as *mut u16) = (rest >> 32) as u16;
        } else {
            *((start + words * 8) as *mut u16) = rest as u16;
        }
    }
    let (address, port) = (usize::from(course.address) & 0x3f, usize::from(course.port) & 0x3f);
    let address = start + address;
    if address + size_of::<u32>() <= end {
        let step = (flow % ADDRESSES) + flow / (ADDRESSES * PORTS) * ADDRESSES;
        let address = address as *mut u32;
        // SAFETY: as above.
        unsafe { *address = u32::from_be(*address).wrapping_add(step).to_be() }
    }
    let port = start + port;
    if port + size_of::<u16>() <= end {
        let step = (flow / ADDRESSES % PORTS) as u16;
        let port = port as *mut u16;
        // SAFETY: as above.
        unsafe { *port = u16::from_be(*port).wrapping_add(step).to_be() }
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
