//! A Rust compiler that can build `core` for BPF, and where one is looked for.

use crate::{
    environment::{command, is_file, output_of},
    error::{Error, Unfit},
    version,
};
use std::{
    env,
    path::{Path, PathBuf},
};

/// Names the one compiler to use: the path of a rustc.
pub const RUSTC_VARIABLE: &str = "SVC_LB_EBPF_RUSTC";
/// Names the cargo to use with it; by default the one beside it.
pub const CARGO_VARIABLE: &str = "SVC_LB_EBPF_CARGO";

/// A rustc that has the sources of the library it was built with, and its cargo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// What a person knows it by.
    pub name: String,
    /// The compiler itself, not a proxy of rustup's.
    pub rustc: PathBuf,
    /// The cargo of the same release.
    pub cargo: PathBuf,
    /// The major version of its LLVM, which the linker must share.
    pub llvm: u32,
    /// Whether it takes unstable options without `RUSTC_BOOTSTRAP`.
    pub nightly: bool,
}

/// A place where a compiler may be.
struct Candidate {
    name: String,
    /// Absent if rustup does not know it.
    rustc: Option<PathBuf>,
    cargo: Option<PathBuf>,
}

impl Compiler {
    /// Every compiler that can build eBPF, the preferred one first: the one that
    /// [`RUSTC_VARIABLE`] names and no other; else rustup's nightly, rustup's stable, and
    /// `/usr/bin/rustc`, which distributions install.
    ///
    /// # Errors
    /// [`Error::NoCompiler`] or [`Error::NamedCompiler`] if there is none.
    pub fn find_all() -> Result<Vec<Self>, Error> {
        if let Some(path) = env::var_os(RUSTC_VARIABLE).map(PathBuf::from) {
            let cargo = env::var_os(CARGO_VARIABLE).map(PathBuf::from);
            let name = format!("{RUSTC_VARIABLE}={}", path.display());
            let named = Candidate { name, rustc: Some(path.clone()), cargo };
            return named
                .probe()
                .map(|compiler| vec![compiler])
                .map_err(|unfit| Error::NamedCompiler { path, unfit });
        }
        let mut found = Vec::new();
        let mut tried = Vec::new();
        for candidate in
            [Candidate::of_rustup("nightly"), Candidate::of_rustup("stable"), Candidate::of_system()]
        {
            match candidate.probe() {
                Ok(compiler) => found.push(compiler),
                Err(unfit) => tried.push((candidate.name, unfit)),
            }
        }
        if found.is_empty() { Err(Error::NoCompiler { tried }) } else { Ok(found) }
    }
}

impl Candidate {
    fn of_rustup(toolchain: &str) -> Self {
        let path = output_of(command("rustup").args(["which", "--toolchain", toolchain, "rustc"]));
        let rustc = path.map(|path| PathBuf::from(path.trim_end()));
        Self { name: format!("rustup's {toolchain}"), rustc, cargo: None }
    }

    fn of_system() -> Self {
        let path = "/usr/bin/rustc";
        Self { name: path.to_owned(), rustc: Some(path.into()), cargo: None }
    }

    /// The compiler, if it is there and has what a build for BPF needs.
    fn probe(&self) -> Result<Compiler, Unfit> {
        let rustc = self.rustc.clone().filter(|path| is_file(path)).ok_or(Unfit::Absent)?;
        let cargo = self.cargo.clone().unwrap_or_else(|| rustc.with_file_name("cargo"));
        if !is_file(&cargo) {
            return Err(Unfit::NoCargo);
        }
        let version = output_of(command(&rustc).arg("-vV")).ok_or(Unfit::Broken)?;
        let sysroot = output_of(command(&rustc).args(["--print", "sysroot"])).ok_or(Unfit::Broken)?;
        let sources = Path::new(sysroot.trim_end()).join("lib/rustlib/src/rust/library/Cargo.lock");
        let llvm = llvm_of_fit(&version, is_file(&sources))?;
        let nightly = version::is_nightly(&version);
        Ok(Compiler { name: self.name.clone(), rustc, cargo, llvm, nightly })
    }
}

/// The major version of the LLVM of a compiler that can build eBPF, by what `rustc -vV` prints and
/// whether the library's sources are there.
fn llvm_of_fit(version: &str, sources: bool) -> Result<u32, Unfit> {
    let release = version::release(version).ok_or(Unfit::Broken)?;
    let llvm = version::llvm_major(version).ok_or(Unfit::Broken)?;
    if Some(release) < version::oldest_release() {
        Err(Unfit::Old)
    } else if sources {
        Ok(llvm)
    } else {
        Err(Unfit::NoSources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "release: 1.997.0-nightly\nLLVM version: 22.1.4\n";

    #[test]
    fn only_a_compiler_with_sources_counts() {
        assert_eq!(llvm_of_fit(NEW, true), Ok(22));
        assert_eq!(llvm_of_fit(NEW, false), Err(Unfit::NoSources));
    }

    #[test]
    fn an_old_compiler_does_not_count() {
        assert_eq!(llvm_of_fit("release: 1.85.0\nLLVM version: 19.1.7\n", true), Err(Unfit::Old));
    }

    #[test]
    fn a_compiler_that_does_not_tell_its_version_does_not_count() {
        assert_eq!(llvm_of_fit("", true), Err(Unfit::Broken));
        assert_eq!(llvm_of_fit("release: 1.997.0\n", true), Err(Unfit::Broken));
    }

    #[test]
    fn a_compiler_that_is_not_there_does_not_count() {
        let rustc = Some(PathBuf::from("/nonexistent/rustc"));
        assert_eq!(Candidate { name: String::new(), rustc, cargo: None }.probe(), Err(Unfit::Absent));
        let candidate = Candidate { name: String::new(), rustc: None, cargo: None };
        assert_eq!(candidate.probe(), Err(Unfit::Absent));
    }

    #[test]
    fn a_compiler_without_cargo_does_not_count() {
        let rustc = Some(PathBuf::from("/bin/sh"));
        let cargo = Some(PathBuf::from("/nonexistent/cargo"));
        assert_eq!(Candidate { name: String::new(), rustc, cargo }.probe(), Err(Unfit::NoCargo));
    }

    #[test]
    fn a_compiler_that_does_not_run_does_not_count() {
        let program = Some(PathBuf::from("/bin/false"));
        let candidate = Candidate { name: String::new(), rustc: program.clone(), cargo: program };
        assert_eq!(candidate.probe(), Err(Unfit::Broken));
    }
}
