//! One file a subcommand.

mod arguments;
mod check;
mod cleanup;
mod config_file;
mod get;
mod run;
mod status;
mod table;

pub use arguments::{
    Arguments, Cleanup, Command, Directories, Flows, Get, GetOutput, Interfaces, Listing, Run,
    ServicesOptions, Sockets, Status, StatusOutput,
};
pub use check::CheckArgs;

use clap::{CommandFactory, FromArgMatches, error::ErrorKind};
use std::{env, ffi::OsString, path::PathBuf, process::ExitCode};

/// What the command line or the configuration file asks for cannot be done on any node, or on this one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// The program: 0 done or asked to stop, 1 failed, 2 usage or configuration.
pub fn main() -> ExitCode {
    let arguments = match parse(env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let result = match arguments.command {
        Command::Run(flags) => run::run(&flags),
        Command::Check(flags) => check::check(&flags).map_err(anyhow::Error::from),
        Command::Status(flags) => status::status(&flags),
        Command::Get(flags) => get::get(&flags),
        Command::Cleanup(flags) => cleanup::cleanup(&flags),
    };
    result.unwrap_or_else(|error| {
        eprintln!("svc-lb: {error}");
        ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
    })
}

/// Reads a command line, and the configuration file that it names. The first word is the program.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let mut command = Arguments::command();
    command.build();
    let matches = command.try_get_matches_from_mut(&words)?;
    let Some(("run", given)) = matches.subcommand() else { return Arguments::from_arg_matches(&matches) };
    let Some(path) = given.get_one::<PathBuf>("config") else { return Arguments::from_arg_matches(&matches) };
    let flags = match command.find_subcommand("run") {
        Some(run) => config_file::read(path, run, given)
            .map_err(|error| command.clone().error(ErrorKind::ValueValidation, error))?,
        None => Vec::new(),
    };
    // The program and its subcommand come first: no flag stands before them.
    words.splice(2..2, flags.into_iter().map(OsString::from));
    Arguments::from_arg_matches(&command.try_get_matches_from_mut(words)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_file_fills_in_what_the_command_line_leaves_out() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, "services: [a, b]\nuplink: eth0\nset-sysctls: false\n").expect("a file");
        let words = ["svc-lb", "run", "--uplink", "eth1", "eth2", "--config"].map(OsString::from);
        let arguments = parse(words.into_iter().chain([file.path().into()])).expect("valid flags");
        let Command::Run(run) = arguments.command else { panic!("not run") };
        assert_eq!(run.services, ["a", "b"].map(PathBuf::from));
        assert_eq!(run.interfaces.uplink, ["eth1", "eth2"]);
        assert!(!run.set_sysctls);
    }

    #[test]
    fn a_bad_configuration_file_is_a_usage_error() {
        let words = ["svc-lb", "run", "--config", "/nonexistent"].map(OsString::from);
        let error = parse(words).expect_err("no file");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--config /nonexistent: No such file"), "{error}");
    }
}
