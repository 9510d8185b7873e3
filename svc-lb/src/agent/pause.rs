//! How long to wait before what failed is tried again.

use std::time::{Duration, Instant};

/// The first pause; each next one is twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// A pause after a failure, longer with each failure that follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause(Option<(Instant, Duration)>);

impl Pause {
    /// When it ends; `None` if nothing failed.
    pub fn end(self) -> Option<Instant> {
        self.0.map(|(start, length)| start + length)
    }

    /// It failed, maybe again.
    pub fn failed(&mut self, now: Instant) {
        let length = self.0.map_or(FIRST, |(_, length)| (length * 2).min(LONGEST));
        self.0 = Some((now, length));
    }

    /// It succeeded.
    pub fn succeeded(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_until_something_succeeds() {
        let now = Instant::now();
        let mut pause = Pause::default();
        assert_eq!(pause.end(), None);
        let mut lengths = Vec::new();
        for _ in 0..7 {
            pause.failed(now);
            lengths.push(pause.end().map(|end| (end - now).as_secs()));
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 30, 30].map(Some));
        pause.succeeded();
        assert_eq!(pause.end(), None);
        pause.failed(now);
        assert_eq!(pause.end(), Some(now + FIRST));
    }
}
