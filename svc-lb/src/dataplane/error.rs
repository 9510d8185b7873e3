//! Why the dataplane could not be made.

use super::typed::MapError;
use std::{error::Error, io, path::PathBuf};

/// What can go wrong with the dataplane as a whole.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// Nothing can be pinned there.
    #[error(
        "{path} is in no BPF file system: mount one (mount -t bpf bpf /sys/fs/bpf), or name a directory in one with --pin-dir"
    )]
    NoBpfFs {
        /// `--pin-dir`.
        path: PathBuf,
    },
    /// No agent has made maps there, or they were removed.
    #[error("nothing is pinned in {path}: no agent has run with this --pin-dir, or cleanup has removed it")]
    NothingPinned {
        /// `--pin-dir`.
        path: PathBuf,
    },
    /// The BPF file system could not be mounted.
    #[error("cannot mount the BPF file system at {path}: {source}")]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A pin or its directory could not be made, read or removed.
    #[error("{path}: {source}")]
    Pin {
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The maps of the object could not be made.
    #[error("cannot make the maps: {0}")]
    Object(String),
    /// A program was refused.
    #[error("the kernel refuses the program {program}: {reason}{log}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the kernel said.
        reason: String,
        /// The last lines of what the verifier said, a line break before each; empty if it said nothing.
        log: String,
    },
    /// A map could not be opened, read or written.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
