//! Which network namespaces there are.

use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use std::{
    collections::HashSet,
    fs::{self, File},
    iter,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Where `ip netns` and container runtimes keep network namespaces by name.
const NAMED: &str = "/run/netns";

/// Each network namespace once: this thread's, those with a name, those that any thread of the machine is
/// in. What goes meanwhile is left out.
pub fn each() -> impl Iterator<Item = File> {
    let mut known = HashSet::new();
    iter::once(PathBuf::from("/proc/thread-self/ns/net"))
        .chain(list(Path::new(NAMED)))
        .chain(of_threads())
        .filter_map(move |path| open_unknown(&path, &mut known))
}

/// The namespace of every thread: one of a process may be in another than the others.
fn of_threads() -> impl Iterator<Item = PathBuf> {
    list(Path::new("/proc"))
        .filter(|path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
        })
        .flat_map(|process| list(&process.join("task")))
        .map(|thread| thread.join("ns/net"))
}

fn list(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Opens a namespace unless its number is known: that of its file, and all are in one file system.
fn open_unknown(path: &Path, known: &mut HashSet<u64>) -> Option<File> {
    // Most threads are where others are, and to read the number is quicker than to open the file.
    if number(path).is_some_and(|number| known.contains(&number)) {
        return None;
    }
    let file = File::open(path).ok()?;
    // A name may be left that stands for nothing any more.
    let is_namespace = fstatfs(&file).is_ok_and(|system| system.filesystem_type() == NSFS_MAGIC);
    (is_namespace && known.insert(file.metadata().ok()?.ino())).then_some(file)
}

/// The number of a thread's namespace: `net:[4026531840]` (namespaces(7)). A name leads to no text.
fn number(path: &Path) -> Option<u64> {
    let link = fs::read_link(path).ok()?;
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}
