//! Which processor a thread runs on, and for how long.

use anyhow::{Context, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use std::time::Duration;

/// Keeps the calling thread on the last of the processors that it may use: the first one often has more
/// interrupts to serve.
pub fn stay_on_one() -> Result<()> {
    let this_thread = Pid::from_raw(0);
    let usable = sched_getaffinity(this_thread)?;
    let last = (0..CpuSet::count()).rev().find(|&one| usable.is_set(one).unwrap_or(false));
    let mut only = CpuSet::new();
    only.set(last.context("a thread that may run nowhere")?)?;
    Ok(sched_setaffinity(this_thread, &only)?)
}

/// Measures how long the calling thread has been running. Time in which others had its processor is no part
/// of it.
pub struct Stopwatch(Duration);

impl Stopwatch {
    /// Starts one.
    pub fn start() -> Result<Self> {
        Ok(Self(time_of_thread()?))
    }

    /// The time since it was started.
    pub fn elapsed(&self) -> Result<Duration> {
        Ok(time_of_thread()?.saturating_sub(self.0))
    }
}

fn time_of_thread() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Does something over and over until the thread has been running for so long. Returns how often a second.
pub fn rate(least: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (stopwatch, mut times) = (Stopwatch::start()?, 0_u32);
    loop {
        work()?;
        times += 1;
        let took = stopwatch.elapsed()?;
        if took > least {
            return Ok(f64::from(times) / took.as_secs_f64());
        }
    }
}
