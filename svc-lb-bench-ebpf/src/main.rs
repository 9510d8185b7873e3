//! The kernel side of the benchmark of packets.
//!
//! - [`course`]: gives each repetition of a test run the packet of another flow, and calls what is measured
//! - [`floor`]: what is measured beside svc-lb: the least that programs for its purpose have to do
//! - [`frame`]: the headers of a frame
//! - [`maps`]: the maps; those with the name of one of svc-lb's are the same one
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", allow(internal_features, reason = "BPF has its atomics only as intrinsics"))]

#[cfg(target_arch = "bpf")]
mod course;
#[cfg(target_arch = "bpf")]
mod floor;
#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod programs;

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("svc-lb-bench-ebpf is built for bpfel-unknown-none, by the build script of svc-lb-tests");
}
