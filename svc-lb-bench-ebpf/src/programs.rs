//! The entry points.

use crate::{course, floor};
use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action::XDP_PASS},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use svc_lb_bench_ebpf::{LENGTH_V4, LENGTH_V6};
use svc_lb_common::address::{Ipv4, Ipv6};

/// The course for XDP, IPv4.
#[xdp(frags)]
pub fn course_xdp_v4(context: XdpContext) -> u32 {
    course::write::<LENGTH_V4>(context.data(), context.data_end());
    course::run_xdp(&context)
}

/// The course for XDP, IPv6.
#[xdp(frags)]
pub fn course_xdp_v6(context: XdpContext) -> u32 {
    course::write::<LENGTH_V6>(context.data(), context.data_end());
    course::run_xdp(&context)
}

/// The course for tc, IPv4.
#[classifier]
pub fn course_tc_v4(context: TcContext) -> i32 {
    course::write::<LENGTH_V4>(context.data(), context.data_end());
    course::run_tc(&context)
}

/// The course for tc, IPv6.
#[classifier]
pub fn course_tc_v6(context: TcContext) -> i32 {
    course::write::<LENGTH_V6>(context.data(), context.data_end());
    course::run_tc(&context)
}

/// Does nothing: what the course itself costs.
#[xdp(frags)]
pub fn nothing_xdp(_context: XdpContext) -> u32 {
    XDP_PASS
}

/// Does nothing.
#[classifier]
pub fn nothing_tc(_context: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// Floor (a), IPv4.
#[xdp(frags)]
pub fn floor_turn_v4(context: XdpContext) -> u32 {
    floor::or_miss(floor::turn::<Ipv4>(&context))
}

/// Floor (a), IPv6.
#[xdp(frags)]
pub fn floor_turn_v6(context: XdpContext) -> u32 {
    floor::or_miss(floor::turn::<Ipv6>(&context))
}

/// Floor (b), IPv4.
#[xdp(frags)]
pub fn floor_translate_v4(context: XdpContext) -> u32 {
    floor::or_miss(floor::translate::<Ipv4>(&context))
}

/// Floor (b), IPv6.
#[xdp(frags)]
pub fn floor_translate_v6(context: XdpContext) -> u32 {
    floor::or_miss(floor::translate::<Ipv6>(&context))
}

/// Floor (b) for tc, IPv4.
#[classifier]
pub fn floor_tc_v4(context: TcContext) -> i32 {
    floor::or_miss(floor::translate_in_tc::<Ipv4>(&context))
}

/// Floor (b) for tc, IPv6.
#[classifier]
pub fn floor_tc_v6(context: TcContext) -> i32 {
    floor::or_miss(floor::translate_in_tc::<Ipv6>(&context))
}

/// Floor (c), IPv4.
#[xdp(frags)]
pub fn floor_connect_v4(context: XdpContext) -> u32 {
    floor::or_miss(floor::connect::<Ipv4>(&context))
}

/// Floor (c), IPv6.
#[xdp(frags)]
pub fn floor_connect_v6(context: XdpContext) -> u32 {
    floor::or_miss(floor::connect::<Ipv6>(&context))
}

/// A panic cannot be reached: the build refuses an object that refers to one.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
