//! bpf-linker, and where it is looked for.

use crate::{
    environment::{command, is_file, output_of},
    version,
};
use std::{
    env,
    path::{Path, PathBuf},
};

/// Names the one linker to use: the path of a bpf-linker.
pub const LINKER_VARIABLE: &str = "SVC_LB_BPF_LINKER";

/// Where `cargo xtask setup` installs tools, in the workspace.
pub const TOOLS: &str = "target/tools";

/// A bpf-linker that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linker {
    /// Where it is.
    pub path: PathBuf,
    /// The major version of the LLVM it is linked with.
    pub llvm: u32,
}

impl Linker {
    /// The first bpf-linker that runs and shares the compiler's LLVM, whose bitcode it reads: the one
    /// that [`LINKER_VARIABLE`] names and no other; else the workspace's own, and those in `PATH`.
    pub fn find(workspace: &Path, llvm: u32) -> Option<Self> {
        candidates(workspace).into_iter().filter_map(Self::probe).find(|linker| linker.llvm == llvm)
    }

    fn probe(path: PathBuf) -> Option<Self> {
        if !is_file(&path) {
            return None;
        }
        // LLVM's own option: it prints the version and exits before anything is read or written. The
        // arguments that the linker wants beside it name what cannot be written.
        let version = output_of(command(&path).args([
            "--llvm-args=--version",
            "--output=/dev/null/none",
            "/dev/null",
        ]))?;
        let llvm = version::llvm_major(&version)?;
        Some(Self { path, llvm })
    }
}

fn candidates(workspace: &Path) -> Vec<PathBuf> {
    if let Some(path) = env::var_os(LINKER_VARIABLE) {
        return vec![path.into()];
    }
    let own = workspace.join(TOOLS).join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(own)
        .chain(env::split_paths(&path))
        .map(|directory| directory.join("bpf-linker"))
        .collect()
}
