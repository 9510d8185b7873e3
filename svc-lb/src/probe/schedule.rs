//! When a probe is due.

use super::spec::Timing;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

/// The times of one probe: a new one is due after its initial delay, one that goes on from before within its
/// period. From then on each has its own place in the period, so that hundreds are not due at once.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    next: Instant,
    /// How long after the first time the next one is; later ones are a period apart.
    step: Duration,
    period: Duration,
}

impl Schedule {
    /// From now on. `place`: what tells the probe from others, and is the same each time.
    pub fn new(timing: &Timing, is_new: bool, place: impl Hash, now: Instant) -> Self {
        let place = place_in(timing.period, place);
        let delay = if is_new { timing.initial_delay } else { place };
        Self { next: now + delay, step: if is_new { place } else { timing.period }, period: timing.period }
    }

    /// The next time.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// The probe has ended. Times that went by meanwhile are left out.
    pub fn done(&mut self, now: Instant) {
        self.next += self.step;
        self.step = self.period;
        while self.next <= now {
            self.next += self.period;
        }
    }
}

/// A part of the period, at least a thousandth, at most the whole.
fn place_in(period: Duration, place: impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    let thousandths = hasher.finish() % 1000 + 1;
    // A number up to a thousand fits.
    period / 1000 * u32::try_from(thousandths).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        initial_delay: Duration::from_secs(5),
        period: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
    };

    #[test]
    fn a_new_probe_waits_for_its_initial_delay_and_no_longer() {
        let now = Instant::now();
        assert_eq!(Schedule::new(&TIMING, true, "a", now).next(), now + TIMING.initial_delay);
    }

    #[test]
    fn probes_that_go_on_are_spread_over_the_period() {
        let now = Instant::now();
        let next = |place: u32| Schedule::new(&TIMING, false, place, now).next() - now;
        let times: Vec<Duration> = (0..400).map(next).collect();
        assert!(times.iter().all(|time| *time <= TIMING.period));
        for second in 0..10 {
            let due = times.iter().filter(|time| time.as_secs() == second).count();
            assert!((20..=60).contains(&due), "{due} of 400 in second {second}");
        }
    }

    #[test]
    fn all_that_start_at_once_are_spread_from_the_second_time_on() {
        let now = Instant::now();
        let second = |place: u32| {
            let mut schedule = Schedule::new(&TIMING, true, place, now);
            let first = schedule.next();
            schedule.done(first);
            let second = schedule.next();
            schedule.done(second);
            assert_eq!(schedule.next() - second, TIMING.period);
            second - first
        };
        let mut times: Vec<Duration> = (0..400).map(second).collect();
        assert!(times.iter().all(|time| *time <= TIMING.period && !time.is_zero()));
        times.sort();
        times.dedup();
        assert!(times.len() > 200, "{} different times", times.len());
    }

    #[test]
    fn what_took_longer_than_the_period_leaves_times_out() {
        let now = Instant::now();
        let mut schedule = Schedule::new(&TIMING, false, "a", now);
        let first = schedule.next();
        schedule.done(first + Duration::from_secs(25));
        assert_eq!(schedule.next() - first, Duration::from_secs(30));
    }
}
