//! The versions that compilers and linkers print.

/// The major version of LLVM in what `rustc -vV` prints (`LLVM version: 22.1.2`), or a program that
/// is linked with LLVM (`Debian LLVM version 22.1.8`).
pub(crate) fn llvm_major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("LLVM version")?;
    let version = version.trim_start_matches([':', ' ']);
    let (major, _) = version.split_once('.')?;
    major.parse().ok()
}

/// The release in what `rustc -vV` prints (`release: 1.95.0`): major and minor version.
pub(crate) fn release(text: &str) -> Option<(u32, u32)> {
    major_and_minor(release_line(text)?)
}

/// Whether what `rustc -vV` prints is of a compiler that takes unstable options as it stands.
pub(crate) fn is_nightly(text: &str) -> bool {
    release_line(text).is_some_and(|release| release.contains("-nightly") || release.contains("-dev"))
}

/// The oldest release that the workspace is written for.
pub(crate) fn oldest_release() -> Option<(u32, u32)> {
    major_and_minor(env!("CARGO_PKG_RUST_VERSION"))
}

fn release_line(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("release: "))
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STABLE: &str = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
        release: 1.95.0\nLLVM version: 22.1.2\n";
    const NIGHTLY: &str = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\nrelease: 1.97.0-nightly\n\
        LLVM version: 22.1.4\n";

    #[test]
    fn a_compiler_tells_its_llvm() {
        assert_eq!(llvm_major(STABLE), Some(22));
        assert_eq!(llvm_major(NIGHTLY), Some(22));
    }

    #[test]
    fn a_linker_tells_its_llvm() {
        assert_eq!(llvm_major("Debian LLVM version 22.1.8\n  Optimized build.\n"), Some(22));
        assert_eq!(llvm_major("LLVM (http://llvm.org/):\n  LLVM version 9.0.1\n"), Some(9));
    }

    #[test]
    fn other_text_tells_nothing() {
        for text in ["", "bpf-linker 0.13.0", "LLVM version", "LLVM version: x.1", "LLVM version 22"] {
            assert_eq!(llvm_major(text), None, "{text:?}");
        }
    }

    #[test]
    fn releases_compare_as_numbers() {
        assert_eq!(release(STABLE), Some((1, 95)));
        assert_eq!(release(NIGHTLY), Some((1, 97)));
        assert_eq!(release("release: 1"), None);
        assert!(release("release: 1.100.0") > release(STABLE));
        assert!(oldest_release() >= Some((1, 85)), "the edition of the workspace needs that much");
    }

    #[test]
    fn only_a_nightly_takes_unstable_options() {
        assert!(is_nightly(NIGHTLY));
        assert!(is_nightly("release: 1.97.0-dev\n"));
        assert!(!is_nightly(STABLE));
        assert!(!is_nightly(""));
    }
}
