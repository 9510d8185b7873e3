//! `cargo xtask bench`

use crate::{process, setup, steps::Steps};
use anyhow::{Context, Result};
use std::{convert::Infallible, ffi::OsString, os::unix::process::CommandExt, path::Path};

/// How cargo builds the benchmark and, when that asks for it, the agent. No package is named: cargo would choose the
/// features of dependencies for that package alone, and build them once more.
const AS_USED: [&str; 3] = ["--release", "--locked", "--quiet"];

/// Builds what it needs for use, and becomes the benchmark: what that prints is the last that there is, and its exit
/// code is this command's.
pub fn run(workspace: &Path, steps: &mut Steps, arguments: &[OsString]) -> Result<Infallible> {
    process::require_root("bench")?;
    setup::run_for_bench(workspace, steps)?;
    let cargo = || process::cargo(workspace);
    steps.run("build", || {
        process::run(cargo().args(["build", "--bin", "bench", "--bin", "svc-lb"]).args(AS_USED))
    })?;
    steps.summarize();
    let failure = cargo().args(["run", "--bin", "bench"]).args(AS_USED).arg("--").args(arguments).exec();
    Err(failure).context("the benchmark does not start")
}
