//! What keeps the eBPF programs from being built.

use crate::{compiler::Compiler, linker::LINKER_VARIABLE, lint::Finding};
use std::{
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
};

/// Why there is no eBPF object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No compiler has the library's sources. Carries where one was looked for, and what was wrong there.
    #[error("no Rust compiler here can build eBPF ({}): run `cargo xtask setup`", tried_list(tried))]
    NoCompiler {
        /// The name of each candidate, and why it does not count.
        tried: Vec<(String, Unfit)>,
    },
    /// No bpf-linker fits a compiler.
    #[error("{} {}: run `cargo xtask setup`", lacking(named.as_deref()), compiler_list(compilers))]
    NoLinker {
        /// The one linker that was looked at, if the environment names it.
        named: Option<OsString>,
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

fn lacking(named: Option<&OsStr>) -> String {
    match named {
        Some(path) => format!("{LINKER_VARIABLE}={} does not fit", path.display()),
        None => "no bpf-linker here fits".to_owned(),
    }
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
        let compilers = vec![compiler];
        assert_eq!(
            Error::NoLinker { named: None, compilers: compilers.clone() }.to_string(),
            "no bpf-linker here fits /usr/bin/rustc (LLVM 22): run `cargo xtask setup`"
        );
        assert_eq!(
            Error::NoLinker { named: Some("/x".into()), compilers }.to_string(),
            "SVC_LB_BPF_LINKER=/x does not fit /usr/bin/rustc (LLVM 22): run `cargo xtask setup`"
        );
    }
}
