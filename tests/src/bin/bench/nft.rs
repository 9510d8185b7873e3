//! Running `nft`.

use crate::tool;
use anyhow::Result;
use svc_lb_tests::Namespace;

/// Takes every rule out of a namespace.
pub const FLUSH: &str = "flush ruleset\n";

/// Runs commands of nft in a namespace: all of them, or none.
pub fn run(namespace: &Namespace, commands: &str) -> Result<()> {
    tool::feed(namespace, &["nft", "-f", "-"], "nftables", commands)
}
