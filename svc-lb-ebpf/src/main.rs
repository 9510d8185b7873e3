//! The kernel side of svc-lb.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("svc-lb-ebpf is built for bpfel-unknown-none by the build script of svc-lb");
}
