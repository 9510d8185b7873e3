//! `cargo xtask test`

use crate::{process, setup, steps::Steps};
use anyhow::{Result, ensure};
use ebpf_toolchain::Toolchain;
use std::{env::consts::ARCH, ffi::OsString, path::Path};

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
        process::run(cargo().args(["test", "--workspace", "--locked", "--quiet"]).args(arguments))
    })
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
