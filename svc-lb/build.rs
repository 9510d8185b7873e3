//! Builds the eBPF programs, and tells the crate where the object is: `SVC_LB_EBPF_OBJECT`.

fn main() {
    ebpf_toolchain::embed::embed("svc-lb-ebpf", &["svc-lb-ebpf", "svc-lb-common"], "SVC_LB_EBPF_OBJECT");
}
