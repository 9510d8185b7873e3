//! `cargo xtask bench`

use crate::{process, setup, steps::Steps};
use anyhow::{Context, Result};
use std::{convert::Infallible, ffi::OsString, os::unix::process::CommandExt, path::Path};

/// Builds everything for use, and becomes the benchmark: what that prints is the last that there is, and its exit
/// code is this command's.
pub fn run(workspace: &Path, steps: &mut Steps, arguments: &[OsString]) -> Result<Infallible> {
    process::require_root("bench")?;
    setup::run_for_bench(workspace, steps)?;
    let cargo = || process::cargo(workspace);
    steps.run("build", || {
        process::run(cargo().args(["build", "--release", "--workspace", "--locked", "--quiet"]))
    })?;
    steps.summarize();
    let failure = cargo()
        .args([
            "run",
            "--release",
            "--locked",
            "--quiet",
            "--package",
            "svc-lb-tests",
            "--bin",
            "bench",
            "--",
        ])
        .args(arguments)
        .exec();
    Err(failure).context("the benchmark does not start")
}
