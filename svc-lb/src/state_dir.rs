//! `--state-dir`: what must outlive the agent and cannot live in bpffs, as JSON files.

use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The default of `--state-dir`.
pub const DEFAULT: &str = "/var/lib/svc-lb";

/// A directory of small JSON files, each replaced as a whole.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

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

    /// Replaces a file at once: a reader sees the old one or the new one, also after a crash.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StateError> {
        let path = self.0.join(name);
        let mut bytes = match serde_json::to_vec_pretty(value) {
            Ok(bytes) => bytes,
            Err(source) => return Err(StateError::Content { path, source }),
        };
        bytes.push(b'\n');
        let temporary = self.0.join(format!(".{name}.new"));
        fs::create_dir_all(&self.0)
            .and_then(|()| fs::write(&temporary, bytes))
            .and_then(|()| fs::File::open(&temporary)?.sync_all())
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|source| StateError::File { path, source })
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
