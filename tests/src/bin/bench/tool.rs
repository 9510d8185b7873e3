//! Running Debian's tools, which read rules as their authors write them.

use anyhow::{Context, Result, ensure};
use std::{
    io::Write,
    process::{Command, Stdio},
};
use svc_lb_tests::Namespace;

/// Runs a tool in a namespace, and gives it its input. Debian has it in a package of that name.
pub fn feed(namespace: &Namespace, words: &[&str], package: &str, input: &str) -> Result<()> {
    let line = words.join(" ");
    let (program, arguments) = words.split_first().context("no tool")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    namespace.adopt(&mut command);
    let missing = || format!("cannot start {program}: Debian has it in its package {package}");
    let mut tool = command.spawn().with_context(missing)?;
    let written = tool.stdin.take().context("a tool without an input")?.write_all(input.as_bytes());
    ensure!(tool.wait()?.success(), "{line} does not take its input");
    Ok(written?)
}
