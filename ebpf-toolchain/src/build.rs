//! Builds the eBPF object.

use crate::{Toolchain, environment::command, error::Error, lint::lint, strip::strip};
use std::{fs, path::Path};

/// The BPF target of little-endian machines.
const TARGET: &str = "bpfel-unknown-none";

impl Toolchain {
    /// Builds the programs of a package of a workspace, whose binary has its name, lints the object, and
    /// writes it to `output` without its debug information.
    ///
    /// `intermediate` is the directory for what cargo keeps between builds; it must not be one that a
    /// running cargo has locked. `arch` is the architecture that the programs will run on, as
    /// `target_arch` names it. Returns what the compiler warned of, empty if nothing.
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::Lint`], [`Error::Object`] or [`Error::Io`].
    pub fn build(
        &self,
        workspace: &Path,
        package: &str,
        intermediate: &Path,
        arch: &str,
        output: &Path,
    ) -> Result<String, Error> {
        let warnings = self.compile(workspace, package, intermediate, arch)?;
        let path = intermediate.join(TARGET).join("release").join(package);
        let object = fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let findings =
            lint(&object).map_err(|source| Error::Object { path: path.clone(), source: source.into() })?;
        if !findings.is_empty() {
            return Err(Error::Lint { findings: findings.into_iter().collect() });
        }
        let stripped = strip(&object).map_err(|source| Error::Object { path, source })?;
        fs::write(output, stripped).map_err(|source| Error::Io { path: output.to_owned(), source })?;
        Ok(warnings)
    }

    /// Runs cargo, and returns what it printed: the compiler's warnings, if it succeeded.
    fn compile(
        &self,
        workspace: &Path,
        package: &str,
        intermediate: &Path,
        arch: &str,
    ) -> Result<String, Error> {
        let flags = [
            format!("--cfg=bpf_target_arch=\"{arch}\""),
            format!("-Clinker={}", self.linker.path.display()),
            // Linux 6.1 loads v3; below it there are no atomics that return a value.
            "-Ctarget-cpu=v3".to_owned(),
            // The linker makes BTF from the debug information.
            "-Cdebuginfo=2".to_owned(),
            "-Clink-arg=--btf".to_owned(),
            // Otherwise a copy becomes loads and stores in order, which LLVM merges with nothing around it.
            "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
        ];
        let mut cargo = command(&self.compiler.cargo);
        cargo
            .current_dir(workspace)
            .args(["build", "--quiet", "--locked", "--release", "--package", package])
            .args(["--target", TARGET, "-Zbuild-std=core", "--target-dir"])
            .arg(intermediate)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env("RUSTC", &self.compiler.rustc)
            // Empty turns off what a configuration file names.
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "");
        if !self.compiler.nightly {
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        let output =
            cargo.output().map_err(|source| Error::Io { path: self.compiler.cargo.clone(), source })?;
        let diagnostics = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(diagnostics) } else { Err(Error::Compile { diagnostics }) }
    }
}
