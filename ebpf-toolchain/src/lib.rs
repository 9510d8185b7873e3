//! Finds a toolchain that can build eBPF from Rust, and builds `svc-lb-ebpf` with it.
