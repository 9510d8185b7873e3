//! What keeps the eBPF programs from being built.

use crate::{compiler::Compiler, lint::Finding};
use std::{fmt, io, path::PathBuf};

/// Why there is no eBPF object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No compiler has the library's sources. Carries where one was looked for, and what was wrong there.
    #[error("no Rust compiler here can build eBPF ({}): run `cargo xtask setup`", Tried(tried))]
    NoCompiler {
        /// The name of each candidate, and why it does not count.
        tried: Vec<(String, Unfit)>,
    },
    /// No bpf-linker fits a compiler.
    #[error("no bpf-linker here fits {}: run `cargo xtask setup`", Needed(compilers))]
    NoLinker {
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
    #[error("the eBPF programs call what they must not:{}", Listed(findings))]
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
    /// Its sysroot lacks the sources of the library.
    #[error("has no rust-src")]
    NoSources,
}

struct Tried<'a>(&'a [(String, Unfit)]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, unfit)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{name} {unfit}")?;
        }
        Ok(())
    }
}

struct Needed<'a>(&'a [Compiler]);

impl fmt::Display for Needed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, compiler) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            write!(formatter, "{separator}{} (LLVM {})", compiler.name, compiler.llvm)?;
        }
        Ok(())
    }
}

struct Listed<'a>(&'a [Finding]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| write!(formatter, "\n  {finding}"))
    }
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
}
