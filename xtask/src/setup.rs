//! `cargo xtask setup`: brings a machine to a working eBPF build, and installs the tools that the
//! tests and the demo call.

use crate::{
    apt::Apt,
    process,
    steps::{Steps, say},
};
use anyhow::{Result, anyhow, bail};
use ebpf_toolchain::{Error, Toolchain, compiler::Compiler, linker::TOOLS};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The release of bpf-linker that is installed.
const BPF_LINKER: &str = "0.13.0";

/// How long rustup may take to add rust-src, a few megabytes, in seconds. Without a network it would
/// try for much longer.
const RUSTUP_PATIENCE: &str = "20";

/// The packages of Debian's compiler and of the sources of its library.
const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// The programs that tests and demo call, and the packages that have them.
const TOOL_PACKAGES: [(&str, &str); 2] = [("ip", "iproute2"), ("nft", "nftables")];

/// What the benchmark compares with.
const BENCH_PACKAGES: [(&str, &str); 2] = [("iptables-nft-restore", "iptables"), ("haproxy", "haproxy")];

/// Installs what is missing, and says what it does. Where nothing is missing it changes nothing.
pub fn run(workspace: &Path, steps: &mut Steps) -> Result<()> {
    setup(workspace, steps, &TOOL_PACKAGES)
}

/// The same, and the load balancers that the benchmark compares with.
pub fn run_for_bench(workspace: &Path, steps: &mut Steps) -> Result<()> {
    setup(workspace, steps, &[&TOOL_PACKAGES[..], &BENCH_PACKAGES].concat())
}

fn setup(workspace: &Path, steps: &mut Steps, packages: &[(&str, &str)]) -> Result<()> {
    steps.run("setup", || {
        let mut apt = Apt::default();
        // One that fails does not keep the other from saying what a person has to do.
        match (toolchain(workspace, &mut apt), tools(&mut apt, packages)) {
            (Err(error), Err(other)) => bail!("{error:#}\nerror: {other:#}"),
            (toolchain, tools) => toolchain.and(tools),
        }
    })
}

/// Provides programs, each of a package.
fn tools(apt: &mut Apt, packages: &[(&str, &str)]) -> Result<()> {
    let is_missing = |(program, _): &&(&str, &str)| process::find(program).is_none();
    let missing: Vec<&str> = packages.iter().filter(is_missing).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        let by_apt = format!("sudo apt-get install {}", missing.join(" "));
        apt.install(&missing).map_err(|error| by_hand(&error, &[&by_apt]))?;
    }
    let programs: Vec<&str> = packages.iter().map(|(program, _)| *program).collect();
    say(&format!("tools: {}", programs.join(", ")));
    Ok(())
}

/// Provides a compiler and its linker.
fn toolchain(workspace: &Path, apt: &mut Apt) -> Result<()> {
    let mut found = Toolchain::find(workspace);
    if matches!(found, Err(Error::NoCompiler { .. })) {
        if !sources_by_rustup() {
            compiler_by_apt(apt)?;
        }
        found = Toolchain::find(workspace);
    }
    if let Err(Error::NoLinker { compilers }) = &found {
        linker(workspace, compilers, apt)?;
        found = Toolchain::find(workspace);
    }
    let Toolchain { compiler, linker } = found?;
    say(&format!("compiler: {} (LLVM {})", compiler.name, compiler.llvm));
    say(&format!("linker: {}", linker.path.display()));
    Ok(())
}

/// A failure, and what a person can do about it: one of several commands.
fn by_hand(error: &anyhow::Error, commands: &[&str]) -> anyhow::Error {
    anyhow!("{error:#}\nBy hand:\n  {}\nand then:\n  cargo xtask setup", commands.join("\nor:\n  "))
}

/// Adds the library's sources to the first toolchain of rustup's that takes them. Returns whether one
/// did.
fn sources_by_rustup() -> bool {
    let has = |toolchain: &&str| {
        process::run_quietly(Command::new("rustup").args(["which", "--toolchain", toolchain, "rustc"]))
            .is_ok()
    };
    ["nightly", "stable"].into_iter().filter(has).any(|toolchain| {
        say(&format!("rustup component add rust-src --toolchain {toolchain}"));
        let mut rustup = Command::new("timeout");
        rustup.args([RUSTUP_PATIENCE, "rustup", "component", "add", "rust-src", "--toolchain", toolchain]);
        let added = process::run_quietly(&mut rustup).is_ok();
        if !added {
            say("rustup cannot download it here");
        }
        added
    })
}

/// Installs the compiler that Debian keeps new enough to build browsers.
fn compiler_by_apt(apt: &mut Apt) -> Result<()> {
    let installed = apt.install(&COMPILER_PACKAGES).and_then(|()| Ok(Compiler::find_all()?));
    let by_apt = format!("sudo apt-get install {}", COMPILER_PACKAGES.join(" "));
    let by_rustup = "rustup toolchain install nightly --profile minimal --component rust-src";
    installed.map(drop).map_err(|error| by_hand(&error, &[by_rustup, &by_apt]))
}

/// Installs a linker for one of the compilers, else a compiler for which there can be one.
fn linker(workspace: &Path, compilers: &[Compiler], apt: &mut Apt) -> Result<()> {
    let Err(failure) = linker_for_any(workspace, compilers, apt) else { return Ok(()) };
    // A compiler of rustup's may be ahead of every LLVM of the distribution. Its own is not.
    if compiler_by_apt(apt).is_err() {
        return Err(failure);
    }
    let all = Compiler::find_all()?;
    let others: Vec<Compiler> = all.into_iter().filter(|compiler| !compilers.contains(compiler)).collect();
    linker_for_any(workspace, &others, apt).map_err(|_| failure)
}

fn linker_for_any(workspace: &Path, compilers: &[Compiler], apt: &mut Apt) -> Result<()> {
    let mut failure = None;
    for compiler in compilers {
        match linker_for(workspace, compiler.llvm, apt) {
            Ok(()) => return Ok(()),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| anyhow!("there is no compiler that a linker would serve")))
}

/// Builds bpf-linker on a version of LLVM.
fn linker_for(workspace: &Path, llvm: u32, apt: &mut Apt) -> Result<()> {
    let prefix =
        env::var_os("LLVM_PREFIX").map_or_else(|| format!("/usr/lib/llvm-{llvm}").into(), PathBuf::from);
    if !prefix.join("lib/libLLVM.so").exists() {
        let package = format!("llvm-{llvm}-dev");
        let by_apt = format!("sudo apt-get install {package}");
        let elsewhere = format!("export LLVM_PREFIX=/where/LLVM/{llvm}/is");
        apt.install(&[&package]).map_err(|error| by_hand(&error, &[&by_apt, &elsewhere]))?;
    }
    say(&format!("cargo install bpf-linker {BPF_LINKER} on LLVM {llvm} into {TOOLS}: about a minute"));
    process::run_quietly(
        process::cargo(workspace)
            .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force", "--quiet"])
            .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root", TOOLS])
            .env("LLVM_PREFIX", prefix),
    )
}
