//! Waiting for a condition instead of for a while.

use anyhow::{Result, bail};
use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take that is expected to happen soon.
pub const SOON: Duration = Duration::from_secs(10);

/// Asks again and again until there is an answer, and fails after `limit`.
pub fn until<T>(what: &str, limit: Duration, mut answer: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = answer()? {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} in vain: {what}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}
