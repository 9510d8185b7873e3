//! What keeps the eBPF programs from being built.

use crate::{
    compiler::{Compiler, RUSTC_VARIABLE},
    linker::LINKER_VARIABLE,
    lint::Finding,
};
use std::{io, path::PathBuf};

/// Why there is no eBPF object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No compiler has the library's sources.
    #[error("no Rust compiler here can build eBPF ({}): run `cargo xtask setup`", tried_list(tried))]
    NoCompiler {
        /// The name of each candidate, and why it does not count.
        tried: Vec<(String, Unfit)>,
    },
    /// The compiler that the environment names does not count.
    #[error("{RUSTC_VARIABLE}={path} {unfit}: correct or unset it")]
    NamedCompiler {
        /// The compiler.
        path: PathBuf,
        /// Why it does not count.
        unfit: Unfit,
    },
    /// No bpf-linker shares a compiler's LLVM.
    #[error("no bpf-linker here fits {}: run `cargo xtask setup`", compiler_list(compilers))]
    NoLinker {
        /// The compilers that lack a linker, the preferred one first; never empty.
        compilers: Vec<Compiler>,
    },
    /// The linker that the environment names does not run, or shares no compiler's LLVM.
    #[error("{LINKER_VARIABLE}={path} does not fit {}: correct or unset it", compiler_list(compilers))]
    NamedLinker {
        /// The linker.
        path: PathBuf,
        /// The compilers that lack a linker, the preferred one first; never empty.
        compilers: Vec<Compiler>,
    },
    /// The compiler or the linker refused the programs.
    #[error("the eBPF programs do not build:\n{diagnostics}")]
    Compile {
        /// What they printed.
        diagnostics: String,
    },
    /// The object builds, and would not load or would be slow.
    #[error("the eBPF programs call what they must not:\n  {}", finding_list(findings))]
    Lint {
        /// Each offence; never empty.
        findings: Vec<Finding>,
    },
    /// The object is no ELF file that can be read and rewritten.
    #[error("{path}: not an eBPF object: {source}")]
    Object {
        /// The object.
        path: PathBuf,
        /// What was wrong with it.
        source: object::build::Error,
    },
    /// A file could not be read or written, or a program could not be started.
    #[error("{path}: {source}")]
    Io {
        /// The file or the program.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// Why a compiler does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is not there.
    #[error("is not installed")]
    Absent,
    /// There is no cargo beside it.
    #[error("has no cargo")]
    NoCargo,
    /// It does not run, or does not tell its version, sysroot or LLVM.
    #[error("does not run")]
    Broken,
    /// It is of an older release than the workspace is written for.
    #[error("is too old")]
    Old,
    /// Its sysroot lacks the sources of the library.
    #[error("has no rust-src")]
    NoSources,
}

fn tried_list(tried: &[(String, Unfit)]) -> String {
    let list: Vec<_> = tried.iter().map(|(name, unfit)| format!("{name} {unfit}")).collect();
    list.join(", ")
}

fn compiler_list(compilers: &[Compiler]) -> String {
    let list: Vec<_> =
        compilers.iter().map(|compiler| format!("{} (LLVM {})", compiler.name, compiler.llvm)).collect();
    list.join(" or ")
}

fn finding_list(findings: &[Finding]) -> String {
    let list: Vec<_> = findings.iter().map(ToString::to_string).collect();
    list.join("\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_toolchain_is_one_sentence_that_names_the_mend() {
        let tried = vec![
            ("rustup's nightly".to_owned(), Unfit::NoSources),
            ("/usr/bin/rustc".to_owned(), Unfit::Absent),
        ];
        assert_eq!(
            Error::NoCompiler { tried }.to_string(),
            "no Rust compiler here can build eBPF (rustup's nightly has no rust-src, /usr/bin/rustc is not \
             installed): run `cargo xtask setup`"
        );
        let compiler = Compiler {
            name: "/usr/bin/rustc".to_owned(),
            rustc: PathBuf::new(),
            cargo: PathBuf::new(),
            llvm: 22,
            nightly: false,
        };
        assert_eq!(
            Error::NoLinker { compilers: vec![compiler] }.to_string(),
            "no bpf-linker here fits /usr/bin/rustc (LLVM 22): run `cargo xtask setup`"
        );
    }

    #[test]
    fn a_named_tool_that_does_not_fit_is_named_by_its_variable() {
        let error = Error::NamedCompiler { path: "/x/rustc".into(), unfit: Unfit::Old };
        assert_eq!(error.to_string(), "SVC_LB_EBPF_RUSTC=/x/rustc is too old: correct or unset it");
    }
}
