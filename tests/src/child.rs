//! Processes that do not outlive this one.

use anyhow::{Context, Result};
use nix::sys::{prctl::set_pdeathsig, signal::Signal};
use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::{LazyLock, Mutex, PoisonError, mpsc},
    thread,
};

/// Starts a process that the kernel kills when this one ends, however it ends.
pub fn spawn(mut command: Command) -> Result<Child> {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    // The signal comes when the parent's *thread* ends, so the parent is a thread that never does.
    static PARENT: LazyLock<Mutex<mpsc::Sender<Request>>> = LazyLock::new(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, reply) in requests {
                // A receiver that is gone has no use for the process.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    // SAFETY: the closure makes one system call and allocates nothing, as it must between fork and exec.
    unsafe {
        command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
    }
    let program = command.get_program().to_owned();
    let (sender, reply) = mpsc::channel();
    PARENT.lock().unwrap_or_else(PoisonError::into_inner).send((command, sender))?;
    reply.recv()?.with_context(|| format!("cannot start {}", program.display()))
}
