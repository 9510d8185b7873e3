//! Builds the eBPF programs, and tells the crate where the object is: `SVC_LB_EBPF_OBJECT`.

use ebpf_toolchain::{Error, Toolchain, compiler, linker};
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

fn main() {
    for variable in [compiler::RUSTC_VARIABLE, compiler::CARGO_VARIABLE, linker::LINKER_VARIABLE] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if let Err(error) = embed() {
        // Cargo fails the build for the message alone, and shows nothing else of this script.
        tell("error", &error.to_string());
    }
}

fn embed() -> Result<(), Error> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().unwrap_or(&package);
    for source in ["Cargo.toml", "Cargo.lock", "svc-lb-ebpf", "svc-lb-common"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let toolchain = Toolchain::find(workspace)?;
    for program in [&toolchain.compiler.rustc, &toolchain.linker.path] {
        println!("cargo::rerun-if-changed={}", program.display());
    }
    let directory = PathBuf::from(variable("OUT_DIR"));
    let object = directory.join("svc-lb-ebpf.o");
    let intermediate = target_directory(&directory).join("ebpf");
    let arch = variable("CARGO_CFG_TARGET_ARCH");
    let warnings = toolchain.build(workspace, &intermediate, &arch.to_string_lossy(), &object)?;
    tell("warning", &warnings);
    println!("cargo::rustc-env=SVC_LB_EBPF_OBJECT={}", object.display());
    Ok(())
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
