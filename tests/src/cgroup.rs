//! A cgroup: whose sockets are served by socket load balancing.

use crate::wait::{SOON, until};
use anyhow::{Context, Result};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// What the names of all cgroups of tests begin with; the process and a number follow.
const PREFIX: &str = "svc-lb-test-";

/// A cgroup below the test's own (cgroup v2), which single threads may join; removed on drop.
///
/// If the test is killed its threads leave the cgroup with it, and the next test that makes one removes it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    _parent: Option<Arc<Self>>,
}

impl Cgroup {
    /// Makes one.
    pub fn new() -> Result<Self> {
        let parent = own()?;
        remove_those_of_the_dead(&parent);
        Self::make(&parent, None)
    }

    /// Makes one below another.
    pub fn below(parent: &Arc<Self>) -> Result<Self> {
        Self::make(&parent.path, Some(Arc::clone(parent)))
    }

    fn make(directory: &Path, parent: Option<Arc<Self>>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{PREFIX}{}-{number}", process::id()));
        let cgroup = Self { path, _parent: parent };
        cgroup.create()?;
        Ok(cgroup)
    }

    /// Removes it, and makes one of the same name.
    pub fn make_anew(&self) -> Result<()> {
        self.remove()?;
        self.create()
    }

    fn create(&self) -> Result<()> {
        fs::create_dir(&self.path)
            .with_context(|| format!("cannot make the cgroup {}", self.path.display()))?;
        // Else only whole processes could be in it, and every host of a test is a thread.
        fs::write(self.file("cgroup.type"), "threaded").context("threads cannot be in the cgroup")
    }

    /// Its directory, for `--cgroup`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the calling thread into it. The sockets that it makes from now on belong to the cgroup, and so
    /// do the threads that it starts.
    pub fn join(&self) -> Result<()> {
        // 0 is the thread that writes.
        fs::write(self.file("cgroup.threads"), "0")
            .with_context(|| format!("cannot join the cgroup {}", self.path.display()))
    }

    /// Moves the threads that are still there to the parent, and removes it.
    fn remove(&self) -> Result<()> {
        let parent = self.path.with_file_name("cgroup.threads");
        until("nobody is in the cgroup any more", SOON, || {
            for thread in fs::read_to_string(self.file("cgroup.threads"))?.lines() {
                // One that has just ended cannot be moved, and need not be.
                let _ = fs::write(&parent, thread);
            }
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(None),
                result => Ok(Some(result?)),
            }
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            println!("cannot remove the cgroup {}: {error:#}", self.path.display());
        }
    }
}

/// The directory of the cgroup that this process is in.
fn own() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let cgroups = fs::read_to_string("/proc/self/cgroup")?;
    directory(&mounts, &cgroups).context("cgroup v2 is not mounted where this process can see its own cgroup")
}

/// The directory of a process's cgroup, by its `mountinfo` and `cgroup` in /proc.
fn directory(mounts: &str, cgroups: &str) -> Option<PathBuf> {
    let own = Path::new(cgroups.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = own.strip_prefix(root).ok()?;
        source.starts_with("cgroup2 ").then(|| Path::new(point).join(below))
    })
}

/// Removes what tests that were killed have left. Another test may do so at the same time, and be quicker.
fn remove_those_of_the_dead(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove_those_of_the_dead(&entry.path());
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_cgroup_is_found_wherever_it_is_mounted() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let within = "41 31 0:38 /user.slice /sys/fs/cgroup rw - cgroup2 none rw\n";
        for (mounts, cgroups, expected) in [
            (hybrid, "1:cpu:/a\n0::/\n", Some("/sys/fs/cgroup/unified/")),
            (hybrid, "0::/user.slice/me\n", Some("/sys/fs/cgroup/unified/user.slice/me")),
            (within, "0::/user.slice/me\n", Some("/sys/fs/cgroup/me")),
            (within, "0::/system.slice\n", None),
            (hybrid, "1:cpu:/\n", None),
        ] {
            assert_eq!(directory(mounts, cgroups).as_deref(), expected.map(Path::new), "{mounts}{cgroups}");
        }
    }

    #[test]
    fn a_thread_is_in_it_as_long_as_it_is_there() -> Result<()> {
        let (inside, parent) = (Cgroup::new()?, own()?);
        let threads = |directory: &Path| fs::read_to_string(directory.join("cgroup.threads"));
        assert_eq!(threads(inside.path())?, "");
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                inside.join()?;
                let thread = nix::unistd::gettid().to_string();
                assert_eq!(threads(inside.path())?.trim(), thread);
                let path = inside.path().to_owned();
                drop(inside);
                assert!(!path.exists());
                assert!(threads(&parent)?.lines().any(|its| its == thread));
                Ok::<_, anyhow::Error>(())
            });
            crate::namespace::join(thread)
        })
    }

    #[test]
    fn what_a_killed_test_has_left_is_removed_by_the_next() -> Result<()> {
        let mut child = process::Command::new("true").spawn()?;
        let name = |number| format!("{PREFIX}{}-{number}", child.id());
        let left = own()?.join(name(0));
        fs::create_dir_all(left.join(name(1)))?;
        child.wait()?;
        let cgroup = Cgroup::new()?;
        assert!(!left.exists());
        assert!(cgroup.path().exists());
        Ok(())
    }
}
