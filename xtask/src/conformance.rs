//! `cargo xtask conformance`

use crate::{process, setup, steps::Steps};
use anyhow::{Context, Result, ensure};
use std::{
    convert::Infallible,
    os::unix::process::CommandExt,
    path::{self, Path},
};

/// Builds everything, and becomes the comparison with the cases of a folder: what that prints is the last that
/// there is, and its exit code is this command's.
pub fn run(workspace: &Path, steps: &mut Steps, folder: &Path) -> Result<Infallible> {
    process::require_root("conformance")?;
    ensure!(folder.is_dir(), "{} is no folder", folder.display());
    let folder = path::absolute(folder)?;
    setup::run(workspace, steps)?;
    let cargo = || process::cargo(workspace);
    steps.run("build", || process::run(cargo().args(["build", "--workspace", "--locked", "--quiet"])))?;
    steps.summarize();
    let failure = cargo()
        .args(["run", "--locked", "--quiet", "--package", "svc-lb-tests", "--bin", "conformance", "--"])
        .arg(folder)
        .exec();
    Err(failure).context("the comparison does not start")
}
