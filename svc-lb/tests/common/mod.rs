//! What tests share that need a network namespace of their own.

use nix::sched::{CloneFlags, unshare};
use std::{panic::resume_unwind, process::Command, thread};

/// Runs a test in a thread that is alone in a new network namespace, and in a new mount namespace; both
/// end with it, and with the processes that it started.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let body = move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .expect("this test makes a network namespace: it must be run as root");
        test();
    };
    if let Err(panic) = thread::spawn(body).join() {
        resume_unwind(panic);
    }
}

/// Runs `ip` with some words. Like every child it is in the namespaces of this thread.
pub fn ip(words: &str) {
    let status = Command::new("ip").args(words.split_whitespace()).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {words}");
}
