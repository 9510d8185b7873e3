//! `svc-lb cleanup`: nothing of svc-lb is left on the node.

use super::{Cleanup, get::print};
use crate::{
    dataplane,
    node::{remove_neighbours, restore_sysctls},
    probe::Probes,
    state_dir::StateDir,
};
use anyhow::bail;
use std::process::ExitCode;

/// Detaches the programs, removes the pins and the neighbours that were kept, forgets which Pods were ready,
/// and restores the sysctls. The ClusterIPs and nodePorts that were given stay remembered.
pub fn cleanup(flags: &Cleanup) -> anyhow::Result<ExitCode> {
    let state = StateDir::new(&flags.directories.state_dir);
    let Some(_lock) = state.try_lock()? else {
        bail!("an agent runs with --state-dir {}: stop it first", state.path().display());
    };
    dataplane::cleanup(&flags.directories.pin_dir)?;
    Probes::forget(&state)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(remove_neighbours())?;
    let unrestored = restore_sysctls(&state)?;
    if !unrestored.is_empty() {
        bail!("everything is detached, but not all settings are restored:\n{}", unrestored.join("\n"));
    }
    print("everything is detached and restored\n")?;
    Ok(ExitCode::SUCCESS)
}
