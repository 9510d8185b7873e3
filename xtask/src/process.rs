//! Running other programs.

use anyhow::{Context, Result, bail, ensure};
use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The cargo that runs us, in the workspace. What it told us of our package is not for the packages that this one
/// builds: ring's build script would see another package each time, and ring and all that uses it be built again.
pub fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    for (name, _) in env::vars_os() {
        let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if of_package.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes())) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command in sight of the user.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("`{line}` does not start"))?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}

/// Runs a command out of sight; what it printed is in the error, if it fails.
pub fn run_quietly(command: &mut Command) -> Result<()> {
    let line = line(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("`{line}` does not start"))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = String::from_utf8_lossy(&output.stderr);
    bail!("`{line}` failed ({})\n{}", output.status, printed.trim_end())
}

/// The path of a program, looked for where `PATH` says and where the system's tools are.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// Whether this process is root's.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Fails in one sentence for everyone but root.
pub fn require_root(command: &str) -> Result<()> {
    ensure!(
        is_root(),
        "`cargo xtask {command}` must be run as root, because it makes network namespaces and loads eBPF programs"
    );
    Ok(())
}

/// A command as a person would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_as_typed() {
        let error = run(Command::new("/bin/false").args(["--some", "thing"])).unwrap_err();
        assert_eq!(error.to_string(), "`false --some thing` failed (exit status: 1)");
    }

    #[test]
    fn a_quiet_failure_carries_what_was_printed() {
        let error = run_quietly(Command::new("/bin/sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("failed (exit status: 3)\nwhy"), "{error}");
        run_quietly(Command::new("/bin/sh").args(["-c", "echo noise"])).unwrap();
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
    }
}
