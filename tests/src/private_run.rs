//! A `/run` of one's own, so that an agent leaves nothing on the machine.

use crate::namespace::join;
use anyhow::{Context, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};
use std::{
    fs::{self, File},
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process, thread,
};

/// A mount namespace whose `/run` is an empty tmpfs with a BPF file system at `/run/bpf`.
///
/// As with [`Namespace`](crate::Namespace), the kernel removes all of it when the last descriptor and
/// process is gone: every pin, and with the pins every program, even if the test is killed.
#[derive(Debug)]
pub struct PrivateRun {
    namespace: File,
    directory: File,
}

impl PrivateRun {
    /// Makes one.
    pub fn new() -> Result<Self> {
        thread::scope(|scope| join(scope.spawn(Self::mount))).context("cannot make a mount namespace")
    }

    /// Gives the calling thread the namespace, and returns it.
    fn mount() -> Result<Self> {
        let nothing = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), nothing)?;
        fs::create_dir("/run/bpf")?;
        mount(Some("bpf"), "/run/bpf", Some("bpf"), MsFlags::empty(), nothing)?;
        Ok(Self { namespace: File::open("/proc/thread-self/ns/mnt")?, directory: File::open("/run")? })
    }

    /// Where this process finds what the commands that it [adopted](Self::adopt) find at `/run/` +
    /// `path`.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", process::id(), self.directory.as_raw_fd())).join(path)
    }

    /// Makes the calling thread see this `/run`, and the threads that it starts.
    pub fn enter(&self) -> Result<()> {
        // A mount namespace is entered by a thread that shares its working directory with no other.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&self.namespace, CloneFlags::CLONE_NEWNS).context("cannot enter the mount namespace")
    }

    /// Makes a command see this `/run`.
    pub fn adopt(&self, command: &mut process::Command) {
        let file = self.namespace.as_raw_fd();
        // SAFETY: the closure makes one system call and allocates nothing, as it must between fork and
        // exec. The descriptor is the child's copy of one that is open as long as `self` is, and a
        // command that outlives `self` fails to start.
        unsafe {
            command.pre_exec(move || {
                setns(BorrowedFd::borrow_raw(file), CloneFlags::CLONE_NEWNS)?;
                Ok(())
            });
        }
    }
}
