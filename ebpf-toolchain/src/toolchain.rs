//! A compiler and a linker that fit.

use crate::{
    compiler::Compiler,
    error::Error,
    linker::{LINKER_VARIABLE, Linker},
};
use std::{env, path::Path};

/// What builds eBPF: a compiler and a linker of one LLVM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Compiles Rust to LLVM's bitcode.
    pub compiler: Compiler,
    /// Links bitcode to an eBPF object.
    pub linker: Linker,
}

impl Toolchain {
    /// The first compiler for which there is a linker.
    ///
    /// # Errors
    /// [`Error::NoCompiler`] or [`Error::NoLinker`], which `cargo xtask setup` mends; or
    /// [`Error::NamedCompiler`] or [`Error::NamedLinker`], which only the user can.
    pub fn find(workspace: &Path) -> Result<Self, Error> {
        let compilers = Compiler::find_all()?;
        let complete = compilers.iter().find_map(|compiler| {
            let linker = Linker::find(workspace, compiler.llvm)?;
            Some(Self { compiler: compiler.clone(), linker })
        });
        complete.ok_or_else(|| match env::var_os(LINKER_VARIABLE) {
            Some(path) => Error::NamedLinker { path: path.into(), compilers },
            None => Error::NoLinker { compilers },
        })
    }
}
