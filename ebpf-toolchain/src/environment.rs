//! Commands that see the user's environment, not that of a cargo around them.

use std::{
    env,
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
};

/// A command without the variables by which a cargo around this process (we may be a build script,
/// under `cargo clippy` even) or a setting meant for the host would disturb a build for BPF.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(disturbs) {
            command.env_remove(name);
        }
    }
    // Looking for a toolchain must not download one.
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command.stdin(Stdio::null());
    command
}

/// What a command prints, if it succeeds and prints text.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then_some(())?;
    String::from_utf8(output.stdout).ok()
}

/// Whether a variable belongs to another build: names its toolchain, its flags, its package or what a
/// build script of it may know. What says how to reach registries and how many jobs to run is kept.
fn disturbs(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "CARGO",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "DEBUG",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "TARGET",
    ];
    const PREFIXES: [&str; 4] = ["CARGO_", "DEP_", "RUSTC", "RUSTDOC"];
    const KEPT: [&str; 5] = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    NAMES.contains(&name) || (begins(&PREFIXES) && !begins(&KEPT))
}

/// Whether a path is that of a file, which says that a program is installed before it is run.
pub(crate) fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_surrounding_build_sets_is_dropped() {
        for name in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "DEP_Z_ROOT",
            "HOST",
            "OUT_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(disturbs(name), "{name}");
        }
    }

    #[test]
    fn what_reaches_a_registry_is_kept() {
        for name in [
            "PATH",
            "HOME",
            "RUSTUP_HOME",
            "CARGO_HOME",
            "CARGO_MAKEFLAGS",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_MIRROR_INDEX",
        ] {
            assert!(!disturbs(name), "{name}");
        }
    }
}
