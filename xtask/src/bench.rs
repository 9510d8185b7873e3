//! `cargo xtask bench`

use crate::{process, setup, steps::Steps};
use anyhow::Result;
use std::{ffi::OsString, path::Path};

/// Builds everything for use, and runs the benchmark.
pub fn run(workspace: &Path, steps: &mut Steps, arguments: &[OsString]) -> Result<()> {
    process::require_root("bench")?;
    setup::run(workspace, steps)?;
    let cargo = || process::cargo(workspace);
    steps.run("build", || {
        process::run(cargo().args(["build", "--release", "--workspace", "--locked", "--quiet"]))
    })?;
    steps.run("bench", || {
        process::run(
            cargo()
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
                .args(arguments),
        )
    })
}
