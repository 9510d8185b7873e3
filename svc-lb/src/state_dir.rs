//! `--state-dir`: what must outlive the agent and cannot live in bpffs, as JSON files.

use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The default of `--state-dir`.
pub const DEFAULT: &str = "/var/lib/svc-lb";

/// A directory of small JSON files, each replaced as a whole.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// Held by the one agent of a state directory.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is locked as long as it is open")] fs::File);

/// Why a file of the state directory could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file is not what this version writes.
    #[error("{path}: {source}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl StateDir {
    /// The directory at a path; it is made when something is first written.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What a file holds; `None` if there is none.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(value) => Ok(Some(value)),
                Err(source) => Err(StateError::Content { path, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::File { path, source }),
        }
    }

    /// Replaces a file at once: a reader sees the old one or the new one. For what means nothing after
    /// the machine was restarted, because it may not have reached the disk.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StateError> {
        self.replace(name, value, false)
    }

    /// As [`Self::write`], and it outlives a loss of power.
    pub fn write_durably<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StateError> {
        self.replace(name, value, true)
    }

    fn replace<T: Serialize>(&self, name: &str, value: &T, durably: bool) -> Result<(), StateError> {
        let path = self.0.join(name);
        let mut bytes = match serde_json::to_vec_pretty(value) {
            Ok(bytes) => bytes,
            Err(source) => return Err(StateError::Content { path, source }),
        };
        bytes.push(b'\n');
        let temporary = self.0.join(format!(".{name}.new"));
        let replace = || {
            fs::create_dir_all(&self.0)?;
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&bytes)?;
            if durably {
                file.sync_all()?;
            }
            fs::rename(&temporary, &path)
        };
        replace().map_err(|source| StateError::File { path: path.clone(), source })
    }

    /// Makes this process the one agent of the directory, as long as the lock is kept; `None` while another
    /// one is. The kernel gives the lock up for a process that ends, however it ends.
    pub fn try_lock(&self) -> Result<Option<Lock>, StateError> {
        let path = self.0.join("lock");
        let lock = || {
            fs::create_dir_all(&self.0)?;
            let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => Ok(Some(Lock(file))),
                Err(fs::TryLockError::WouldBlock) => Ok(None),
                Err(fs::TryLockError::Error(error)) => Err(error),
            }
        };
        lock().map_err(|source| StateError::File { path: path.clone(), source })
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::File { path, source }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_and_go() {
        let parent = tempfile::tempdir().expect("a directory");
        let state = StateDir::new(parent.path().join("made/when/needed"));
        assert_eq!(state.read::<Vec<u8>>("some.json").expect("no file"), None);
        state.write("some.json", &[1, 2]).expect("a file");
        assert_eq!(state.read("some.json").expect("a file"), Some(vec![1, 2]));
        state.write_durably("some.json", &[3]).expect("a file");
        assert_eq!(state.read("some.json").expect("a file"), Some(vec![3]));
        state.remove("some.json").expect("removed");
        state.remove("some.json").expect("nothing to remove");
        assert_eq!(state.path().read_dir().map(Iterator::count).expect("a directory"), 0);
    }

    #[test]
    fn one_process_at_a_time_has_the_lock() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = StateDir::new(directory.path().join("made/when/needed"));
        let lock = state.try_lock().expect("a lock file").expect("the lock");
        assert!(state.try_lock().expect("a lock file").is_none());
        drop(lock);
        assert!(state.try_lock().expect("a lock file").is_some());
    }

    #[test]
    fn what_cannot_be_read_names_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("some.json"), "{").expect("a file");
        let error = StateDir::new(directory.path()).read::<Vec<u8>>("some.json").expect_err("no JSON");
        assert!(error.to_string().contains("some.json: "), "{error}");
    }
}
