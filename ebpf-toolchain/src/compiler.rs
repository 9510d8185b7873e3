//! A Rust compiler that can build `core` for BPF, and where one is looked for.

use crate::{
    environment::{command, is_file, output_of},
    error::{Error, Unfit},
    version,
};
use std::{env, path::PathBuf};

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
    /// [`Error::NoCompiler`] if there is none.
    pub fn find_all() -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        let mut tried = Vec::new();
        for candidate in candidates() {
            match candidate.probe() {
                Ok(compiler) => found.push(compiler),
                Err(unfit) => tried.push((candidate.name, unfit)),
            }
        }
        if found.is_empty() { Err(Error::NoCompiler { tried }) } else { Ok(found) }
    }
}

fn candidates() -> Vec<Candidate> {
    if let Some(rustc) = env::var_os(RUSTC_VARIABLE).map(PathBuf::from) {
        let cargo = env::var_os(CARGO_VARIABLE).map(PathBuf::from);
        let name = format!("{RUSTC_VARIABLE}={}", rustc.display());
        return vec![Candidate { name, rustc: Some(rustc), cargo }];
    }
    let rustup = |toolchain| Candidate {
        name: format!("rustup's {toolchain}"),
        rustc: output_of(command("rustup").args(["which", "--toolchain", toolchain, "rustc"]))
            .map(|path| PathBuf::from(path.trim_end())),
        cargo: None,
    };
    let system = Candidate {
        name: "/usr/bin/rustc".to_owned(),
        rustc: Some(PathBuf::from("/usr/bin/rustc")),
        cargo: None,
    };
    vec![rustup("nightly"), rustup("stable"), system]
}

impl Candidate {
    /// The compiler, if it is there and has what a build for BPF needs.
    fn probe(&self) -> Result<Compiler, Unfit> {
        let rustc = self.rustc.clone().filter(|path| is_file(path)).ok_or(Unfit::Absent)?;
        let cargo = self.cargo.clone().unwrap_or_else(|| rustc.with_file_name("cargo"));
        if !is_file(&cargo) {
            return Err(Unfit::NoCargo);
        }
        let version = output_of(command(&rustc).arg("-vV")).ok_or(Unfit::Broken)?;
        let sysroot = output_of(command(&rustc).args(["--print", "sysroot"])).ok_or(Unfit::Broken)?;
        let sources = PathBuf::from(sysroot.trim_end()).join("lib/rustlib/src/rust/library/Cargo.lock");
        if !is_file(&sources) {
            return Err(Unfit::NoSources);
        }
        let llvm = version::llvm_major(&version).ok_or(Unfit::Broken)?;
        let nightly = version::is_nightly(&version);
        Ok(Compiler { name: self.name.clone(), rustc, cargo, llvm, nightly })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    /// A directory with a `rustc` and a `cargo` that are shell scripts, removed at the end.
    struct Fake(PathBuf);

    impl Fake {
        fn new(test: &str) -> Self {
            let directory = env::temp_dir().join(format!("svc-lb-compiler-{test}-{}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            let fake = Self(directory);
            let sysroot = fake.0.display();
            fake.script(
                "rustc",
                &format!(
                    "case $1 in -vV) echo 'release: 1.97.0-nightly'; echo 'LLVM version: 22.1.4';; \
                     *) echo '{sysroot}';; esac"
                ),
            );
            fake.script("cargo", "true");
            fake
        }

        fn script(&self, name: &str, body: &str) {
            let path = self.0.join(name);
            fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn add_sources(&self) {
            let library = self.0.join("lib/rustlib/src/rust/library");
            fs::create_dir_all(&library).unwrap();
            fs::write(library.join("Cargo.lock"), "").unwrap();
        }

        fn probe(&self) -> Result<Compiler, Unfit> {
            probe(&self.0.join("rustc"))
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn probe(rustc: &Path) -> Result<Compiler, Unfit> {
        Candidate { name: "fake".to_owned(), rustc: Some(rustc.to_owned()), cargo: None }.probe()
    }

    #[test]
    fn a_compiler_with_sources_counts() {
        let fake = Fake::new("counts");
        fake.add_sources();
        let compiler = fake.probe().unwrap();
        assert_eq!(compiler.cargo, fake.0.join("cargo"));
        assert_eq!(compiler.llvm, 22);
        assert!(compiler.nightly);
    }

    #[test]
    fn a_compiler_without_sources_does_not_count() {
        assert_eq!(Fake::new("sources").probe(), Err(Unfit::NoSources));
    }

    #[test]
    fn a_compiler_without_cargo_does_not_count() {
        let fake = Fake::new("cargo");
        fs::remove_file(fake.0.join("cargo")).unwrap();
        assert_eq!(fake.probe(), Err(Unfit::NoCargo));
    }

    #[test]
    fn a_compiler_that_does_not_run_does_not_count() {
        let fake = Fake::new("broken");
        fake.add_sources();
        fake.script("rustc", "exit 1");
        assert_eq!(fake.probe(), Err(Unfit::Broken));
    }

    #[test]
    fn a_compiler_that_is_not_there_does_not_count() {
        assert_eq!(probe(Path::new("/nonexistent/rustc")), Err(Unfit::Absent));
    }
}
