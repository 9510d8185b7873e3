//! The project's commands: `cargo xtask help` lists them.

mod apt;
mod bench;
mod build;
mod conformance;
mod demo;
mod process;
mod setup;
mod steps;
mod test;

use clap::{Parser, Subcommand};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};
use steps::Steps;

/// The commands that a developer of svc-lb needs. Each does its own setup: none has to be run before
/// another.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing for building eBPF, for the tests and for the demo
    Setup,
    /// Build the agent, target/release/svc-lb, with the eBPF programs in it
    Build,
    /// Check the format, run clippy, then all tests (as root: they make network namespaces)
    Test {
        /// Passed on to cargo test, e.g. a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Measure svc-lb in network namespaces, and compare it with its targets (as root). The report is in target/bench/
    Bench {
        /// What to measure: packets, socket-lb, end-to-end, scale; if nothing is named, everything. With --quick
        /// fewer rounds, with --check a failure if a target is missed
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Compare what svc-lb does with packets with kube-proxy's own decisions (as root). The last line counts; fails
    /// if something is wrong
    Conformance {
        /// The folder of the cases
        folder: PathBuf,
    },
    /// Show a Service at work in network namespaces (as root)
    Demo {
        /// Passed on to the demo
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().unwrap_or(package);
    let mut steps = Steps::default();
    let result = match command {
        Command::Setup => setup::run(workspace, &mut steps),
        Command::Build => build::run(workspace, &mut steps),
        Command::Test { arguments } => test::run(workspace, &mut steps, &arguments),
        Command::Bench { arguments } => {
            bench::run(workspace, &mut steps, &arguments).map(|never| match never {})
        }
        Command::Conformance { folder } => {
            conformance::run(workspace, &mut steps, &folder).map(|never| match never {})
        }
        Command::Demo { arguments } => demo::run(workspace, &mut steps, &arguments),
    };
    steps.summarize();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn arguments_are_passed_on_with_their_hyphens() {
        let arguments =
            Arguments::try_parse_from(["xtask", "test", "--test", "routed", "--", "--nocapture"]).unwrap();
        let Command::Test { arguments } = arguments.command else { panic!("another command") };
        assert_eq!(arguments, ["--test", "routed", "--", "--nocapture"]);
    }
}
