//! Whether connections from outside find no source port.

use std::time::{Duration, Instant};
use svc_lb_common::snat::PortRange;

/// How long it is told after the last packet that was dropped for it.
const TOLD_FOR: Duration = Duration::from_mins(1);

/// Follows the count of packets that were dropped because every source port that was tried belongs to a
/// live flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exhaustion {
    counted: Option<u64>,
    last: Option<Instant>,
}

impl Exhaustion {
    /// The count at a moment; whether [`Self::finding`] is another one now. What was counted before the
    /// first time is history.
    pub fn observe(&mut self, dropped: u64, now: Instant) -> bool {
        let told = self.last.is_some();
        let before = self.counted.replace(dropped);
        if before.is_some_and(|before| dropped > before) {
            self.last = Some(now);
        } else if self.last.is_some_and(|last| now.duration_since(last) >= TOLD_FOR) {
            self.last = None;
        }
        told != self.last.is_some()
    }

    /// What is wrong, in words; `None` while nothing is.
    pub fn finding(self, snat: PortRange) -> Option<String> {
        self.last.map(|_| {
            format!(
                "new connections from outside are dropped: to some backend on another node all source ports that \
                 are tried are in use (drops for no-source-port): give a wider --snat-port-range than {snat}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PortRange = PortRange { first: 10000, last: 10015 };

    #[test]
    fn it_is_told_while_packets_are_dropped_and_a_while_longer() {
        let start = Instant::now();
        let mut exhaustion = Exhaustion::default();
        assert!(!exhaustion.observe(7, start), "an earlier agent saw those");
        assert_eq!(exhaustion.finding(RANGE), None);
        assert!(exhaustion.observe(8, start));
        assert!(
            exhaustion.finding(RANGE).is_some_and(|it| it.contains("--snat-port-range than 10000-10015"))
        );
        assert!(!exhaustion.observe(9, start + TOLD_FOR / 2));
        assert!(!exhaustion.observe(9, start + TOLD_FOR), "half as long ago as it is told");
        assert!(exhaustion.observe(9, start + TOLD_FOR * 3 / 2));
        assert_eq!(exhaustion.finding(RANGE), None);
    }
}
