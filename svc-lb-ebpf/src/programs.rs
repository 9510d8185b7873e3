//! The entry points, one a hook.

use crate::{
    clock,
    packet::{Layer2, Layer3, XdpPacket},
    pipeline,
};
use aya_ebpf::{
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use svc_lb_common::{counters::Program, flow::Hook};

/// XDP on an uplink: finishes what needs no help from the host.
#[xdp(frags)]
pub fn xdp_uplink(context: XdpContext) -> u32 {
    pipeline::run(XdpPacket::new(&context), Hook::UplinkIngress, Program::XdpUplink)
}

/// tc at the ingress of an uplink: the complete forward path from outside, and replies of
/// connections to remote backends.
#[classifier]
pub fn tc_uplink_ingress(context: TcContext) -> i32 {
    pipeline::run(Layer2::new(&context), Hook::UplinkIngress, Program::TcUplinkIngress)
}

/// tc at the egress of an uplink: replies of local backends to clients outside.
#[classifier]
pub fn tc_uplink_egress(context: TcContext) -> i32 {
    pipeline::run(Layer2::new(&context), Hook::UplinkEgress, Program::TcUplinkEgress)
}

/// tc at the ingress of a pod interface, from the pod: the complete forward path of pods.
#[classifier]
pub fn tc_pod_ingress(context: TcContext) -> i32 {
    pipeline::run(Layer2::new(&context), Hook::PodIngress, Program::TcPodIngress)
}

/// tc at the egress of a pod interface, to the pod: replies to pods.
#[classifier]
pub fn tc_pod_egress(context: TcContext) -> i32 {
    pipeline::run(Layer2::new(&context), Hook::PodEgress, Program::TcPodEgress)
}

/// tc at the ingress of an uplink whose packets have no link-layer header: as `tc_uplink_ingress`.
#[classifier]
pub fn tc_l3_ingress(context: TcContext) -> i32 {
    pipeline::run(Layer3::new(&context), Hook::UplinkIngress, Program::TcL3Ingress)
}

/// tc at the egress of an uplink whose packets have no link-layer header: as `tc_uplink_egress`.
#[classifier]
pub fn tc_l3_egress(context: TcContext) -> i32 {
    pipeline::run(Layer3::new(&context), Hook::UplinkEgress, Program::TcL3Egress)
}

/// For the agent, by a test run: what the dataplane's clock shows.
#[xdp]
pub fn clock(_context: XdpContext) -> u32 {
    clock::now()
}

/// A panic cannot be reached: the build refuses an object that refers to one.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
