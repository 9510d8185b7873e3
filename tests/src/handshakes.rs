//! Handshakes that the kernel repeats.

use crate::{losses::counters, namespace::Namespace};
use anyhow::{Context, Result};

/// How many SYNs a namespace has sent once more because a second had passed without an answer, as may happen where
/// processors are busy. One that arrives when its connection is over already is a new connection to everybody.
pub fn repeated(namespace: &Namespace) -> Result<u64> {
    let netstat = namespace.proc_net("netstat")?;
    let repeated = counters(&netstat).find(|(name, _)| name == "TcpExt TCPSynRetrans");
    Ok(repeated.context("the kernel counts no repeated SYN")?.1)
}
