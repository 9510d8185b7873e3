//! `cargo xtask build`

use crate::{process, setup, steps::Steps};
use anyhow::Result;
use std::path::Path;

/// Builds the agent for use.
pub fn run(workspace: &Path, steps: &mut Steps) -> Result<()> {
    setup::run(workspace, steps)?;
    steps.run("build the agent", || {
        process::run(process::cargo(workspace).args([
            "build",
            "--locked",
            "--release",
            "--package",
            "svc-lb",
        ]))
    })
}
