//! Builds the programs that benchmarks compare with, and tells the crate where the object is: `FLOORS_OBJECT`.

fn main() {
    ebpf_toolchain::embed::embed(
        "svc-lb-bench-ebpf",
        &["svc-lb-bench-ebpf", "svc-lb-common"],
        "FLOORS_OBJECT",
    );
}
