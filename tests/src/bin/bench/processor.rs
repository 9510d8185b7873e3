//! Which processor a thread runs on, and for how long.

use anyhow::Result;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use std::time::Duration;

/// Keeps the calling thread, and threads that it starts, on one of the processors that it may use: the first,
/// the second and so on, round and round.
pub fn pin(number: usize) -> Result<()> {
    let usable = sched_getaffinity(Pid::from_raw(0))?;
    let processors: Vec<usize> =
        (0..CpuSet::count()).filter(|&one| usable.is_set(one).unwrap_or(false)).collect();
    let mut only = CpuSet::new();
    only.set(processors[number % processors.len()])?;
    Ok(sched_setaffinity(Pid::from_raw(0), &only)?)
}

/// How long the calling thread has been running. Time in which other threads had its processor is no part of
/// it.
pub fn time_of_thread() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
