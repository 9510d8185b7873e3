//! Whether a file is still the one that was read.

use std::{fs::Metadata, os::unix::fs::MetadataExt, time::SystemTime};

/// For how long after a change the times of a file do not tell it from the next change, in nanoseconds: the
/// kernel's clock for them ticks some hundred times a second, that of some file systems once.
const TICK: i128 = 1_000_000_000;

/// What of a file's metadata changes with its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    place: (u64, u64),
    size: u64,
    /// When the content changed, and when anything did, in nanoseconds since 1970.
    times: [i128; 2],
}

impl Signature {
    /// Of a regular file that has not changed for a while; `None` of any other.
    pub fn of(metadata: &Metadata, now: SystemTime) -> Option<Self> {
        let time = |seconds: i64, nanoseconds: i64| i128::from(seconds) * TICK + i128::from(nanoseconds);
        let times =
            [time(metadata.mtime(), metadata.mtime_nsec()), time(metadata.ctime(), metadata.ctime_nsec())];
        let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
        let now = i128::try_from(now).ok()?;
        let is_settled = times.iter().all(|time| now - time > TICK);
        let signature = Self { place: (metadata.dev(), metadata.ino()), size: metadata.size(), times };
        (metadata.is_file() && is_settled).then_some(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, File},
        time::Duration,
    };

    #[test]
    fn only_a_file_that_has_rested_is_known_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.yaml");
        fs::write(&path, "a").expect("written");
        let later = SystemTime::now() + Duration::from_secs(5);
        let signature = |now| Signature::of(&path.metadata().expect("a file"), now);
        assert_eq!(signature(SystemTime::now()), None, "it may change again within a tick");
        let rested = signature(later);
        assert!(rested.is_some());
        assert_eq!(signature(later), rested);
        let file = File::options().write(true).open(&path).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_mins(1)).expect("a time");
        assert_ne!(signature(later), rested);
        assert_eq!(Signature::of(&directory.path().metadata().expect("a directory"), later), None);
    }
}
