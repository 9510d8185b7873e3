//! Which processor does the work, and for how long.

use anyhow::{Context, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use std::{fs, sync::OnceLock, time::Duration};

/// Those whose time counts: a thread, and who works for it on its processor.
pub struct Workers(Vec<ClockId>);

impl Workers {
    /// The calling thread, which stays on one processor from now on, and the thread of the kernel to which that
    /// processor leaves packets when there are many. Where processes of the kernel are not to be seen, as in a
    /// container, the latter's time does not count.
    pub fn gather() -> Result<Self> {
        static SOFTIRQS: OnceLock<Option<Pid>> = OnceLock::new();
        let processor = stay_on_one()?;
        let softirqs = SOFTIRQS.get_or_init(|| process(&format!("ksoftirqd/{processor}")));
        let thread = Self(vec![ClockId::CLOCK_THREAD_CPUTIME_ID]);
        match *softirqs {
            Some(softirqs) => thread.and(softirqs),
            None => Ok(thread),
        }
    }

    /// These and a process, which must be on the same processor ([`keep_on_one`]).
    pub fn and(mut self, process: Pid) -> Result<Self> {
        self.0.push(clock_getcpuclockid(process)?);
        Ok(self)
    }

    /// How long they have been running.
    fn time(&self) -> Result<Duration> {
        self.0.iter().try_fold(Duration::ZERO, |sum, &clock| Ok(sum + clock_gettime(clock)?.into()))
    }
}

/// Keeps the calling thread on the last of the processors that it may use: the first one often has more
/// interrupts to serve. Returns its number.
pub fn stay_on_one() -> Result<usize> {
    keep_on_one(Pid::from_raw(0))
}

/// The same with another thread.
pub fn keep_on_one(thread: Pid) -> Result<usize> {
    let usable = sched_getaffinity(thread)?;
    let last = (0..CpuSet::count()).rev().find(|&one| usable.is_set(one).unwrap_or(false));
    let last = last.context("a thread that may run nowhere")?;
    let mut only = CpuSet::new();
    only.set(last)?;
    sched_setaffinity(thread, &only)?;
    Ok(last)
}

/// The process of a name, as far as it is to be seen.
fn process(name: &str) -> Option<Pid> {
    let processes = fs::read_dir("/proc").ok()?;
    let found = processes.flatten().find(|process| {
        fs::read_to_string(process.path().join("comm")).is_ok_and(|command| command.trim_end() == name)
    })?;
    found.file_name().to_str()?.parse().ok().map(Pid::from_raw)
}

/// Measures how long workers have been running. Time in which others had the processor is no part of it.
pub struct Stopwatch<'a> {
    workers: &'a Workers,
    start: Duration,
}

impl<'a> Stopwatch<'a> {
    /// Starts one.
    pub fn start(workers: &'a Workers) -> Result<Self> {
        Ok(Self { workers, start: workers.time()? })
    }

    /// The time since it was started.
    pub fn elapsed(&self) -> Result<Duration> {
        Ok(self.workers.time()?.saturating_sub(self.start))
    }
}

/// Does something over and over until the workers have been running for so long. Returns how often a second.
pub fn rate(workers: &Workers, least: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (stopwatch, mut times) = (Stopwatch::start(workers)?, 0_u32);
    loop {
        work()?;
        times += 1;
        let took = stopwatch.elapsed()?;
        if took > least {
            return Ok(f64::from(times) / took.as_secs_f64());
        }
    }
}
