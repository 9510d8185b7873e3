//! `cargo xtask test`

use crate::{process, setup, steps::Steps};
use anyhow::{Result, ensure};
use ebpf_toolchain::Toolchain;
use std::{
    env::{self, consts::ARCH},
    ffi::OsString,
    num::NonZeroUsize,
    path::Path,
    thread,
};

/// Checks the format, what clippy and the eBPF compiler warn of, and runs all tests.
pub fn run(workspace: &Path, steps: &mut Steps, arguments: &[OsString]) -> Result<()> {
    process::require_root("test")?;
    setup::run(workspace, steps)?;
    let cargo = || process::cargo(workspace);
    steps.run("format", || process::run(cargo().args(["fmt", "--all", "--check"])))?;
    steps.run("clippy", || {
        process::run(
            cargo()
                .args(["clippy", "--workspace", "--all-targets", "--locked", "--quiet"])
                .args(["--", "--deny", "warnings"]),
        )
    })?;
    steps.run("eBPF programs", || programs_without_warnings(workspace))?;
    // The scenarios start the agent's binary, which cargo test alone would not build.
    steps.run("build", || process::run(cargo().args(["build", "--workspace", "--locked", "--quiet"])))?;
    steps.run("tests", || {
        let mut tests = cargo();
        tests.args(["test", "--workspace", "--locked", "--quiet"]).args(arguments);
        if env::var_os(THREADS).is_none() {
            tests.env(THREADS, threads().to_string());
        }
        process::run(&mut tests)
    })
}

/// The variable by which libtest is told how many tests to run at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// How many tests run at once: half as many again as there are processors, for a scenario waits a third of its time
/// for timers and for processes.
fn threads() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    processors + processors / 2
}

/// There is no clippy for BPF; what the compiler warns of is denied here at least.
fn programs_without_warnings(workspace: &Path) -> Result<()> {
    let intermediate = workspace.join("target/ebpf");
    let object = intermediate.join("svc-lb-ebpf.o");
    let warnings =
        Toolchain::find(workspace)?.build(workspace, "svc-lb-ebpf", &intermediate, ARCH, &object)?;
    ensure!(warnings.is_empty(), "the eBPF programs build with warnings:\n{warnings}");
    Ok(())
}
