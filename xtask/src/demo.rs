//! `cargo xtask demo`

use crate::{process, setup, steps::Steps};
use anyhow::Result;
use std::{ffi::OsString, path::Path};

/// Builds everything, and runs the demo.
pub fn run(workspace: &Path, steps: &mut Steps, arguments: &[OsString]) -> Result<()> {
    process::require_root("demo")?;
    setup::run(workspace, steps)?;
    let cargo = || process::cargo(workspace);
    steps.run("build", || process::run(cargo().args(["build", "--workspace", "--locked", "--quiet"])))?;
    steps.run("demo", || {
        process::run(
            cargo()
                .args(["run", "--locked", "--quiet", "--package", "svc-lb-tests", "--bin", "demo", "--"])
                .args(arguments),
        )
    })
}
