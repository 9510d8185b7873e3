//! Waits until manifests change on disk.

#[cfg(test)]
mod tests;

use super::{file::is_manifest, way::way};
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::pending,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

/// How long to wait after a change for others that belong to it, such as those of a copied directory.
const SETTLE: Duration = Duration::from_millis(5);

/// How long to wait for the writer of a file to close it. Before that the file may be cut short, or
/// empty: a shell truncates it when the command that fills it has only started.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to doubt that a file is empty. The kernel tells of a cut only when it is done, and that can
/// wait for the disk, or on a busy machine for the writer's turn, while readers see it at once. Nobody
/// is in a hurry for a file that says nothing.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Changes of names: a file or a link appears, goes or is replaced.
const NAMES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF);

/// Changes of names and of what files hold.
const CONTENT: WatchMask =
    NAMES.union(WatchMask::MODIFY).union(WatchMask::CLOSE_WRITE).union(WatchMask::ATTRIB);

/// A watch over the files and directories that paths lead to. Directories are watched, never the files
/// themselves: so a file may be replaced, and may not exist yet. Every directory on the way is watched for
/// the name that is looked up there, so a symbolic link may be replaced too, as in a ConfigMap volume.
#[derive(Debug)]
pub struct Watch {
    inotify: AsyncFd<Inotify>,
    /// The real path of each directory that is watched.
    directories: HashMap<WatchDescriptor, PathBuf>,
    /// Those of them that are on the way to what is followed.
    wanted: HashSet<WatchDescriptor>,
    /// The directories that cannot be watched.
    failures: BTreeMap<PathBuf, io::Error>,
    /// The directories all of whose manifests count.
    listed: HashSet<PathBuf>,
    /// The other names that count.
    steps: HashSet<PathBuf>,
    /// Files that were written to and are not closed yet, and since when.
    writing: HashMap<PathBuf, Instant>,
    /// Files that were closed or replaced since the last [`finish`](Self::finish).
    closed: HashSet<PathBuf>,
    /// Files that were found empty, and since when nothing else was told of them.
    empty: HashMap<PathBuf, Instant>,
    /// When to tell of a change.
    due: Option<Instant>,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: register(Inotify::init()?)?,
            directories: HashMap::new(),
            wanted: HashSet::new(),
            failures: BTreeMap::new(),
            listed: HashSet::new(),
            steps: HashSet::new(),
            writing: HashMap::new(),
            closed: HashSet::new(),
            empty: HashMap::new(),
            due: None,
        })
    }

    /// Forgets what was followed. The directories stay watched until [`finish`](Self::finish), so that no
    /// change is missed.
    pub fn start_over(&mut self) {
        self.listed.clear();
        self.steps.clear();
        self.wanted.clear();
        self.failures.clear();
    }

    /// Watches what a path leads to now. To be called before that is read: each change after the call is
    /// told.
    pub fn follow(&mut self, path: &Path) {
        let mut route = Route::of(path);
        loop {
            for directory in route.steps.iter().filter_map(|step| step.parent()) {
                self.watch(directory, NAMES);
            }
            if let Some(directory) = route.content() {
                self.watch(directory, CONTENT);
            }
            // What appeared on the way before it was watched is not told.
            let now = Route::of(path);
            if now == route {
                break;
            }
            route = now;
        }
        if route.to_directory {
            self.listed.extend(route.content().map(Path::to_owned));
        }
        self.steps.extend(route.steps);
    }

    /// Drops the watches over what is no longer followed. To be called just before the files are
    /// read. Gives the directories that cannot be watched.
    pub fn finish(&mut self) -> &BTreeMap<PathBuf, io::Error> {
        let mut watches = self.inotify.get_ref().watches();
        self.directories.retain(|descriptor, _| {
            let wanted = self.wanted.contains(descriptor);
            if !wanted {
                // The kernel has dropped the watch already if the directory is gone.
                let _ = watches.remove(descriptor.clone());
            }
            wanted
        });
        self.drain();
        self.closed.clear();
        &self.failures
    }

    /// Watches one directory for some more changes.
    fn watch(&mut self, directory: &Path, changes: WatchMask) {
        let mask = changes | WatchMask::ONLYDIR | WatchMask::MASK_ADD;
        match self.inotify.get_ref().watches().add(directory, mask) {
            Ok(descriptor) => {
                self.directories.insert(descriptor.clone(), directory.to_owned());
                self.wanted.insert(descriptor);
            }
            // It went since it was found: the directory above it is watched, and tells.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => drop(self.failures.insert(directory.to_owned(), error)),
        }
    }

    /// Whether what was just read from a path, maybe nothing at all, may not be whole: its file has been
    /// changed since [`finish`](Self::finish), or is not closed yet. If so, another change will be told.
    pub fn is_unsettled(&mut self, path: &Path, empty: bool) -> bool {
        // An event comes right after the change that it tells of, so that of what was read is there by
        // now; but that of a cut can be late.
        self.drain();
        if !empty && self.writing.is_empty() && self.closed.is_empty() {
            return false;
        }
        let Some(end) = way(path).pop() else { return false };
        if self.writing.contains_key(&end) || self.closed.contains(&end) {
            return true;
        }
        if !empty {
            return false;
        }
        let since = *self.empty.entry(end).or_insert_with(Instant::now);
        let doubt = (since + SECOND_LOOK).saturating_duration_since(Instant::now());
        if !doubt.is_zero() {
            self.tell_after(doubt);
        }
        !doubt.is_zero()
    }

    /// Waits until something has changed since the last time that this returned. Nothing is lost if the
    /// future is dropped.
    pub async fn changed(&mut self) {
        loop {
            let now = Instant::now();
            let writing = self.writing.len();
            self.writing.retain(|_, since| *since + PATIENCE > now);
            if self.writing.len() < writing || self.due.is_some_and(|due| due <= now) {
                self.due = None;
                return;
            }
            let closed = self.writing.values().min().map(|since| *since + PATIENCE);
            let wake = self.due.into_iter().chain(closed).min();
            let until_wake = async {
                match wake {
                    Some(wake) => sleep_until(wake).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = until_wake => {}
                ready = self.inotify.readable_mut() => match ready {
                    Ok(mut guard) => guard.clear_ready(),
                    // The runtime is being shut down.
                    Err(_) => pending().await,
                },
            }
            self.drain();
        }
    }

    /// Takes in the events that have happened.
    fn drain(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(events) = self.inotify.get_mut().read_events(&mut buffer) {
            let events: Vec<_> = events.map(|event| event.to_owned()).collect();
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    // Some events are lost, maybe that a file was closed.
                    self.writing.clear();
                    self.tell_after(SETTLE);
                } else if let Some(directory) = self.directories.get(&event.wd) {
                    match event.name {
                        Some(name) => self.take(directory.join(name), event.mask),
                        None if event.mask.contains(EventMask::IGNORED) => {
                            self.directories.remove(&event.wd);
                        }
                        // The directory itself is gone or elsewhere.
                        None => self.tell_after(SETTLE),
                    }
                }
            }
        }
    }

    /// Takes in what happened to a file, directory or link.
    fn take(&mut self, path: PathBuf, mask: EventMask) {
        let in_listed =
            || path.parent().is_some_and(|directory| self.listed.contains(directory)) && is_manifest(&path);
        if !self.steps.contains(&path) && !in_listed() {
            return;
        }
        self.empty.remove(&path);
        if mask.contains(EventMask::MODIFY) {
            self.writing.entry(path).or_insert_with(Instant::now);
        } else {
            // Mode and times may change before the last byte is written.
            if !mask.contains(EventMask::ATTRIB) {
                self.writing.remove(&path);
                self.closed.insert(path);
            }
            self.tell_after(SETTLE);
        }
    }

    /// Lets a change be told after some time, if none is told before.
    fn tell_after(&mut self, time: Duration) {
        let then = Instant::now() + time;
        self.due = Some(self.due.map_or(then, |due| due.min(then)));
    }
}

/// Where a path leads at one moment.
#[derive(PartialEq, Eq)]
struct Route {
    /// Every name on the way.
    steps: Vec<PathBuf>,
    /// Whether it ends at a directory.
    to_directory: bool,
}

impl Route {
    fn of(path: &Path) -> Self {
        let steps = way(path);
        Self { to_directory: steps.last().is_some_and(|end| end.is_dir()), steps }
    }

    /// The directory that holds the content: the one at the end, or the one of the file at the end.
    fn content(&self) -> Option<&Path> {
        let end = self.steps.last()?;
        if self.to_directory { Some(end) } else { end.parent() }
    }
}

/// Lets the runtime tell when there are events.
fn register(inotify: Inotify) -> io::Result<AsyncFd<Inotify>> {
    // SAFETY: an `Inotify` keeps one open file descriptor from its creation to its end, and is never
    // taken out of the `AsyncFd`.
    Ok(unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) }?)
}
