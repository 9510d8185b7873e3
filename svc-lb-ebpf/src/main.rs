//! The kernel side of svc-lb: what the hooks call. It holds no policy; it looks up what the agent
//! compiled.
//!
//! - [`packet`]: parse, rewrite and send a packet, the same for XDP and tc
//! - [`pipeline`]: the way of a packet: flow → frontend → select → rewrite → forward
//! - [`exception`]: why a packet is not simply translated
//! - [`flow`]: the flow table: find, make, refresh and remove pairs
//! - [`hint`]: which addresses may be those of flows and frontends
//! - [`choice`]: which backend a client gets, by [`frontend`] and [`select`], [`affinity`] and [`load`]
//! - [`nat`], [`source_port`]: the rewrite of a new flow, and its source port
//! - [`untranslated`]: connections that are not translated, and that one which is must not be taken for
//! - [`related`], [`fragment`], [`icmp`]: what follows a flow without ports of its own: later fragments,
//!   ICMP errors
//! - [`route`]: the next hop of what svc-lb sends on by itself
//! - [`answer`], [`echo`]: TCP RST, ICMP errors and echo replies, from svc-lb itself
//! - [`socket`], [`socket_address`], [`peers`]: applications that connect and send straight to backends
//! - [`lost`]: which of them have lost their backend
//! - [`stages`]: what the verifier follows by itself
//! - [`maps`], [`socket_maps`], [`config`], [`clock`], [`stats`], [`atomic`]: what all of these stand on
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", allow(internal_features, reason = "BPF has its atomics only as intrinsics"))]

#[cfg(target_arch = "bpf")]
mod affinity;
#[cfg(target_arch = "bpf")]
mod answer;
#[cfg(target_arch = "bpf")]
mod atomic;
#[cfg(target_arch = "bpf")]
mod choice;
#[cfg(target_arch = "bpf")]
mod clock;
#[cfg(target_arch = "bpf")]
mod config;
#[cfg(target_arch = "bpf")]
mod echo;
#[cfg(target_arch = "bpf")]
mod exception;
#[cfg(target_arch = "bpf")]
mod flow;
#[cfg(target_arch = "bpf")]
mod fragment;
#[cfg(target_arch = "bpf")]
mod frontend;
#[cfg(target_arch = "bpf")]
mod hint;
#[cfg(target_arch = "bpf")]
mod icmp;
#[cfg(target_arch = "bpf")]
mod load;
#[cfg(target_arch = "bpf")]
mod lost;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod nat;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod peers;
#[cfg(target_arch = "bpf")]
mod pipeline;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
mod related;
#[cfg(target_arch = "bpf")]
mod route;
#[cfg(target_arch = "bpf")]
mod select;
#[cfg(target_arch = "bpf")]
mod socket;
#[cfg(target_arch = "bpf")]
mod socket_address;
#[cfg(target_arch = "bpf")]
mod socket_maps;
#[cfg(target_arch = "bpf")]
mod source_port;
#[cfg(target_arch = "bpf")]
mod stages;
#[cfg(target_arch = "bpf")]
mod stats;
#[cfg(target_arch = "bpf")]
mod untranslated;

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("svc-lb-ebpf is built for bpfel-unknown-none, by the build script of svc-lb");
}
