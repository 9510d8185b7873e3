//! A network namespace: the network of one host.

use crate::cgroup::Cgroup;
use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns, unshare},
};
use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::process::CommandExt,
    },
    panic, process,
    sync::Arc,
    thread,
};

/// A network namespace.
///
/// It has no name in the file system: the kernel removes it, with everything in it, when the last
/// descriptor, process and socket of it is gone. So nothing is left behind even if the test is killed,
/// and no two runs can meet. To look inside one: `nsenter --net=/proc/PID/fd/N`.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
    cgroup: Option<Arc<Cgroup>>,
}

impl Namespace {
    /// A new one, with its loopback interface up. The name is for messages.
    pub fn new(name: &str) -> Result<Self> {
        let file = thread::scope(|scope| join(scope.spawn(open_new)))
            .with_context(|| format!("cannot make the network namespace {name:?}"))?;
        let namespace = Self { name: name.to_owned(), file, cgroup: None };
        crate::links::configure(&namespace, async |links| links.up("lo").await)?;
        Ok(namespace)
    }

    /// A new one that forwards, is strict about where packets come from, answers every mistake, and whose
    /// addresses are usable at once.
    pub fn of_host(name: &str) -> Result<Self> {
        let namespace = Self::new(name)?;
        for (path, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv4/conf/all/rp_filter", "1"),
            ("ipv4/conf/default/rp_filter", "1"),
            ("ipv4/conf/all/send_redirects", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
            ("ipv6/conf/all/accept_dad", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            // A limit on ICMP would make a second error look like a lost packet.
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv4/icmp_msgs_per_sec", "1000000"),
            ("ipv6/icmp/ratelimit", "0"),
        ] {
            namespace.set_sysctl(path, value)?;
        }
        Ok(namespace)
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts whatever runs inside from now on into a cgroup too.
    pub fn run_in(&mut self, cgroup: Arc<Cgroup>) {
        self.cgroup = Some(cgroup);
    }

    /// Runs something inside, on a thread of its own. Sockets that it makes stay inside, and so do
    /// threads that it starts.
    ///
    /// # Panics
    /// If what runs inside does, and if its cgroup was removed meanwhile.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            join(scope.spawn(|| {
                setns(self, CloneFlags::CLONE_NEWNET).expect("a namespace that is open can be entered");
                if let Some(cgroup) = &self.cgroup {
                    cgroup.join().expect("a cgroup that is there can be joined");
                }
                inside()
            }))
        })
    }

    /// Makes a command run inside.
    pub fn adopt(&self, command: &mut process::Command) {
        let file = self.file.as_raw_fd();
        // SAFETY: the closure makes one system call and allocates nothing, as it must between fork and
        // exec. The descriptor is the child's copy of one that is open as long as `self` is, and a
        // command that outlives `self` fails to start.
        unsafe {
            command.pre_exec(move || {
                setns(BorrowedFd::borrow_raw(file), CloneFlags::CLONE_NEWNET)?;
                Ok(())
            });
        }
    }

    /// Writes a value to `/proc/sys/net/` + `path`, as the kernel shows it to this namespace.
    pub fn set_sysctl(&self, path: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{path}");
        self.enter(|| std::fs::write(&path, value))
            .with_context(|| format!("{}: cannot write {value} to {path}", self.name))
    }

    /// The value in `/proc/sys/net/` + `path`.
    pub fn sysctl(&self, path: &str) -> Result<String> {
        let path = format!("/proc/sys/net/{path}");
        // In one go: of a list of ports a second read gives nothing.
        let read = || -> io::Result<Vec<u8>> {
            let mut value = vec![0; 1 << 16];
            let length = File::open(&path)?.read(&mut value)?;
            value.truncate(length);
            Ok(value)
        };
        let value = self.enter(read).with_context(|| format!("{}: cannot read {path}", self.name))?;
        Ok(String::from_utf8_lossy(&value).trim().to_owned())
    }

    /// Reads a file of `/proc/net/`, which the kernel keeps for each namespace.
    pub fn proc_net(&self, file: &str) -> Result<String> {
        let path = format!("/proc/thread-self/net/{file}");
        self.enter(|| std::fs::read_to_string(&path))
            .with_context(|| format!("{}: cannot read {path}", self.name))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Gives the calling thread a new namespace, and returns it.
fn open_new() -> Result<File> {
    match unshare(CloneFlags::CLONE_NEWNET) {
        Err(Errno::EPERM) => anyhow::bail!("only root may: run this as root (sudo -E cargo xtask test)"),
        result => result?,
    }
    Ok(File::open("/proc/thread-self/ns/net")?)
}

/// The thread's result, or its panic.
pub(crate) fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
}
