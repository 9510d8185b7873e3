//! The BPF file system that pins live in.

use super::error::DataplaneError;
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where it is usually mounted.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// Makes the pin directory, and mounts the file system at its usual place if that is all it lacks.
pub fn prepare(pin_dir: &Path) -> Result<(), DataplaneError> {
    if !is_bpffs(pin_dir) {
        if !pin_dir.starts_with(MOUNT_POINT) || is_bpffs(Path::new(MOUNT_POINT)) {
            return Err(DataplaneError::NoBpfFs { path: pin_dir.to_owned() });
        }
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("bpf"), MOUNT_POINT, Some("bpf"), flags, Some("mode=0700")).map_err(|error| {
            DataplaneError::Mount { path: PathBuf::from(MOUNT_POINT), source: error.into() }
        })?;
    }
    create(pin_dir)
}

/// Makes a directory for pins.
pub fn create(path: &Path) -> Result<(), DataplaneError> {
    fs::create_dir_all(path).map_err(|source| DataplaneError::Pin { path: path.to_owned(), source })
}

/// Removes a pin, if it is there.
pub fn remove(path: &Path) -> Result<(), DataplaneError> {
    absent_is_fine(path, fs::remove_file(path))
}

/// Removes a directory with all its pins, if it is there.
pub fn remove_all(path: &Path) -> Result<(), DataplaneError> {
    absent_is_fine(path, fs::remove_dir_all(path))
}

/// Removes a directory unless something is in it, is mounted there, or it is not there.
pub fn remove_if_empty(path: &Path) -> Result<(), DataplaneError> {
    match fs::remove_dir(path) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy) =>
        {
            Ok(())
        }
        result => absent_is_fine(path, result),
    }
}

/// The names in a directory of pins; none if it is not there.
pub fn list(path: &Path) -> Result<Vec<String>, DataplaneError> {
    let names = fs::read_dir(path).and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<_>>()
    });
    match names {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(|source| DataplaneError::Pin { path: path.to_owned(), source }),
    }
}

fn absent_is_fine(path: &Path, result: io::Result<()>) -> Result<(), DataplaneError> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DataplaneError::Pin { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Whether a path, or what of it is there, lies in a BPF file system.
fn is_bpffs(path: &Path) -> bool {
    let there = path.ancestors().find(|path| path.exists());
    there.and_then(|path| statfs(path).ok()).is_some_and(|it| it.filesystem_type() == BPF_FS_MAGIC)
}
