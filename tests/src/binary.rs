//! The agent's binary, built from the sources that the tests stand beside.

use anyhow::{Context, Result, anyhow, ensure};
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

/// Names a binary to test instead: for a machine that cannot build, such as a VM with another kernel.
const OVERRIDE: &str = "SVC_LB_BINARY";

/// Where the binary is. The first call builds it, in the profile that the tests were built in: Cargo
/// makes no binary of one package for the tests of another.
pub fn path() -> Result<&'static Path> {
    static BINARY: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| match env::var_os(OVERRIDE) {
        Some(path) => Ok(path.into()),
        None => build().map_err(|error| format!("{error:#}")),
    });
    BINARY.as_deref().map_err(|error| anyhow!("cannot build svc-lb: {error}"))
}

fn build() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--locked", "--bin", "svc-lb", "--message-format=json-render-diagnostics"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::inherit());
    // As in `cargo xtask`: what cargo told of the package of the tests is not for the packages that it builds here.
    for (name, _) in env::vars_os() {
        let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if of_package.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes())) {
            command.env_remove(name);
        }
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output()?;
    ensure!(output.status.success(), "cargo build: {}", output.status);
    output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo named no executable")
}
