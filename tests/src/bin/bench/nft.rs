//! Running Debian's `nft`, which reads rules as their authors write them.

use anyhow::{Context, Result, ensure};
use std::{
    io::Write,
    process::{Command, Stdio},
};
use svc_lb_tests::Namespace;

/// Takes every rule out of a namespace.
pub const FLUSH: &str = "flush ruleset\n";

/// Runs commands of nft in a namespace: all of them, or none.
pub fn run(namespace: &Namespace, commands: &str) -> Result<()> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped());
    namespace.adopt(&mut command);
    let mut nft = command.spawn().context("cannot start nft: Debian has it in its package nftables")?;
    let written = nft.stdin.take().context("nft has no input")?.write_all(commands.as_bytes());
    ensure!(nft.wait()?.success(), "nft does not take the rules");
    Ok(written?)
}
