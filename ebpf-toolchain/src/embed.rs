//! The build script of a crate that embeds an eBPF object.

use crate::{Error, Toolchain, compiler, linker};
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Builds the programs of a package, and tells the crate where the object is by an environment variable. The
/// object is built again when one of the `sources` changes, directories of the workspace.
pub fn embed(package: &str, sources: &[&str], variable: &str) {
    for variable in [compiler::RUSTC_VARIABLE, compiler::CARGO_VARIABLE, linker::LINKER_VARIABLE] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    match build(package, sources) {
        Ok(object) => println!("cargo::rustc-env={variable}={}", object.display()),
        // Cargo fails the build for the message alone, and shows nothing else of this script.
        Err(error) => tell("error", &error.to_string()),
    }
}

/// Builds the object, and gives its path.
fn build(package: &str, sources: &[&str]) -> Result<PathBuf, Error> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let workspace = manifest.parent().unwrap_or(&manifest);
    for source in ["Cargo.toml", "Cargo.lock"].iter().chain(sources) {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let toolchain = Toolchain::find(workspace)?;
    for program in [&toolchain.compiler.rustc, &toolchain.linker.path] {
        println!("cargo::rerun-if-changed={}", program.display());
    }
    let directory = PathBuf::from(variable("OUT_DIR"));
    let object = directory.join(package).with_extension("o");
    let intermediate = target_directory(&directory).join("ebpf");
    let arch = variable("CARGO_CFG_TARGET_ARCH");
    let warnings = toolchain.build(workspace, package, &intermediate, &arch.to_string_lossy(), &object)?;
    tell("warning", &warnings);
    Ok(object)
}

/// The root of cargo's target directory, which all profiles share: the one that cargo marked as a cache.
fn target_directory(out: &Path) -> &Path {
    out.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file()).unwrap_or(out)
}

/// A variable that cargo sets for every build script.
fn variable(name: &str) -> OsString {
    env::var_os(name).expect("cargo sets it")
}

/// Has cargo print a message, line by line.
fn tell(level: &str, message: &str) {
    for line in message.lines() {
        println!("cargo::{level}={line}");
    }
}
