//! The cgroup whose processes are served when they connect.

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a mount of cgroup v2 is called in `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
const CGROUP2: &str = "cgroup2";

/// Why a directory is no cgroup to attach to.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// It cannot be looked at.
    #[error("--cgroup {path}: {source}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is a directory of something else.
    #[error("--cgroup {path} is no cgroup: name a directory below a mount of cgroup v2")]
    NotACgroup {
        /// Which one.
        path: PathBuf,
    },
}

/// The root of cgroup v2, where it is mounted; `None` if it is not.
pub fn root_cgroup() -> io::Result<Option<PathBuf>> {
    Ok(mounted(&fs::read_to_string("/proc/self/mountinfo")?))
}

/// Refuses what is no cgroup.
pub fn check_cgroup(path: &Path) -> Result<(), CgroupError> {
    let error = |source| CgroupError::Directory { path: path.to_owned(), source };
    let is_cgroup =
        statfs(path).map_err(|errno| error(errno.into()))?.filesystem_type() == CGROUP2_SUPER_MAGIC;
    let is_directory = path.metadata().map_err(error)?.is_dir();
    if is_cgroup && is_directory { Ok(()) } else { Err(CgroupError::NotACgroup { path: path.to_owned() }) }
}

/// The first mount of cgroup v2 in a list of mounts.
fn mounted(list: &str) -> Option<PathBuf> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let path = before.split(' ').nth(4)?;
        (after.split(' ').next() == Some(CGROUP2)).then(|| unescape(path))
    };
    list.lines().find_map(mount)
}

/// A path as it is: the list has `\040` for a space, and so on.
fn unescape(path: &str) -> PathBuf {
    let mut text = path.to_owned();
    for (escaped, character) in [(r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", r"\")] {
        text = text.replace(escaped, character);
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_v2_is_found_where_it_is_mounted() {
        let hybrid = "25 24 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      26 25 0:23 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      27 25 0:24 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mounted(hybrid), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mounted(&hybrid.replace("unified", r"a\040b")), Some("/sys/fs/cgroup/a b".into()));
        assert_eq!(mounted(&hybrid.replace("cgroup2", "cgroup")), None);
        assert_eq!(mounted("strange"), None);
    }

    #[test]
    fn only_a_directory_of_cgroup_v2_is_a_cgroup() {
        assert!(matches!(check_cgroup(Path::new("/proc")), Err(CgroupError::NotACgroup { .. })));
        assert!(matches!(check_cgroup(Path::new("/nowhere")), Err(CgroupError::Directory { .. })));
        let root = root_cgroup().unwrap().expect("this machine has cgroup v2");
        check_cgroup(&root).unwrap();
        assert!(check_cgroup(&root.join("cgroup.procs")).is_err());
    }
}
