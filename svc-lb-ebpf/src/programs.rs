//! The entry points, one a hook.

use crate::{
    clock, lost,
    packet::{Layer2, Layer3, XdpPacket},
    pipeline, socket,
    socket_address::{Inet4, Inet6},
};
use aya_ebpf::{
    macros::{cgroup_sock, cgroup_sock_addr, classifier, xdp},
    programs::{SockAddrContext, SockContext, TcContext, XdpContext},
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

/// A socket of IPv4 connects.
#[cgroup_sock_addr(connect4)]
pub fn sock_connect4(context: SockAddrContext) -> i32 {
    socket::connect::<Inet4>(&context, Program::SockConnect4)
}

/// A socket of IPv6 connects.
#[cgroup_sock_addr(connect6)]
pub fn sock_connect6(context: SockAddrContext) -> i32 {
    socket::connect::<Inet6>(&context, Program::SockConnect6)
}

/// A UDP socket sends to an address of IPv4 by name.
#[cgroup_sock_addr(sendmsg4)]
pub fn sock_sendmsg4(context: SockAddrContext) -> i32 {
    socket::sendmsg::<Inet4>(&context, Program::SockSendmsg4)
}

/// A UDP socket sends to an address of IPv6 by name.
#[cgroup_sock_addr(sendmsg6)]
pub fn sock_sendmsg6(context: SockAddrContext) -> i32 {
    socket::sendmsg::<Inet6>(&context, Program::SockSendmsg6)
}

/// A UDP socket of IPv4 asks who sent a datagram.
#[cgroup_sock_addr(recvmsg4)]
pub fn sock_recvmsg4(context: SockAddrContext) -> i32 {
    socket::recvmsg::<Inet4>(&context, Program::SockRecvmsg4)
}

/// A UDP socket of IPv6 asks who sent a datagram.
#[cgroup_sock_addr(recvmsg6)]
pub fn sock_recvmsg6(context: SockAddrContext) -> i32 {
    socket::recvmsg::<Inet6>(&context, Program::SockRecvmsg6)
}

/// A socket of IPv4 asks whom it is connected to.
#[cgroup_sock_addr(getpeername4)]
pub fn sock_getpeername4(context: SockAddrContext) -> i32 {
    socket::getpeername::<Inet4>(&context)
}

/// A socket of IPv6 asks whom it is connected to.
#[cgroup_sock_addr(getpeername6)]
pub fn sock_getpeername6(context: SockAddrContext) -> i32 {
    socket::getpeername::<Inet6>(&context)
}

/// For the agent, by an iterator over `SOCKETS`: which connected UDP sockets have lost their backend.
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
#[unsafe(no_mangle)]
pub extern "C" fn lost_sockets(step: &lost::Step) -> i32 {
    lost::tell(step);
    0
}

/// A socket of either family is closed.
#[cgroup_sock(sock_release)]
pub fn sock_release(context: SockContext) -> i32 {
    socket::release(&context)
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
