//! A running `svc-lb run`.

use crate::{
    child,
    wait::{SOON, until},
};
use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{self, BufRead, BufReader, PipeReader},
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// How long it may take to start: the kernel's verifier shares two processors with the other tests.
pub const START: Duration = Duration::from_mins(1);

/// What `run` prints when it serves.
const READY: &str = "svc-lb ready";

/// The process; killed on drop. What it prints goes to the test's output, which libtest shows if the
/// test fails.
pub struct Agent {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    /// Starts it, and waits until it is ready.
    pub fn start(mut command: Command, quiet: bool) -> Result<Self> {
        let (reader, writer) = io::pipe()?;
        command.stdin(std::process::Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut agent = Self { child: child::spawn(command)?, log: Arc::default() };
        let log = Arc::clone(&agent.log);
        let mut collector = Some(thread::spawn(move || collect(reader, &log, quiet)));
        until("svc-lb ready", START, || {
            if agent.log_lines().iter().any(|line| line.starts_with(READY)) {
                return Ok(Some(()));
            }
            match agent.child.try_wait()? {
                Some(status) => {
                    // Its last words may still be on their way.
                    let _ = collector.take().map(thread::JoinHandle::join);
                    bail!("svc-lb ended with {status}:\n{}", agent.log_lines().join("\n"))
                }
                None => Ok(None),
            }
        })?;
        Ok(agent)
    }

    /// The lines that it has printed so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).context("cannot signal svc-lb")
    }

    /// Ends it by a signal, and waits for its end.
    pub fn end(mut self, signal: Signal) -> Result<ExitStatus> {
        self.signal(signal)?;
        until("svc-lb ends", SOON, || Ok(self.child.try_wait()?))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only if the process has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(reader: PipeReader, log: &Mutex<Vec<String>>, quiet: bool) {
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        if !quiet {
            println!("{line}");
        }
        log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
