//! Results → readiness.

use super::spec::Thresholds;

/// What the results of one probe say so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    ready: bool,
    /// The last result, and how often it has come in a row.
    last: Option<bool>,
    run: u32,
    /// Why it failed last; empty if it never did.
    failure: String,
}

impl Tally {
    /// Before the first result: not ready, unless it was known to be.
    pub fn new(ready: bool) -> Self {
        Self { ready, last: None, run: 0, failure: String::new() }
    }

    /// Counts a result: success, or why not. Returns whether the readiness changed.
    pub fn count(&mut self, result: Result<(), String>, thresholds: Thresholds) -> bool {
        let success = result.is_ok();
        self.run = if self.last == Some(success) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(success);
        if let Err(why) = result {
            self.failure = why;
        }
        let enough = if success { thresholds.success } else { thresholds.failure };
        let before = self.ready;
        if self.run >= enough {
            self.ready = success;
        }
        self.ready != before
    }

    /// Whether the container is ready.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Why it is not.
    pub fn why_not(&self, thresholds: Thresholds) -> String {
        match self.last {
            None => "not probed yet".to_owned(),
            Some(true) => format!("succeeded {} of {} times in a row", self.run, thresholds.success),
            Some(false) => self.failure.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The readiness after each result (`+` or `-`), as `R` or `.`.
    fn after(ready: bool, success: u32, failure: u32, results: &str) -> String {
        let mut tally = Tally::new(ready);
        let readiness = |result| {
            let result = if result == '+' { Ok(()) } else { Err("connection refused".to_owned()) };
            let before = tally.is_ready();
            let changed = tally.count(result, Thresholds { success, failure });
            assert_eq!(changed, before != tally.is_ready());
            if tally.is_ready() { 'R' } else { '.' }
        };
        results.chars().map(readiness).collect()
    }

    #[test]
    fn thresholds_count_consecutive_results() {
        for (ready, success, failure, results, expected) in [
            (false, 1, 3, "+", "R"),
            (false, 1, 3, "-", "."),
            (false, 1, 3, "+---+", "RRR.R"),
            (false, 1, 3, "+--+--+---", "RRRRRRRRR."),
            (false, 3, 1, "++-+++-", ".....R."),
            (false, 2, 2, "+-+-++-+--", ".....RRRR."),
            (true, 1, 3, "--+---", "RRRRR."),
            (true, 1, 1, "-", "."),
            (true, 5, 3, "+", "R"),
        ] {
            assert_eq!(after(ready, success, failure, results), expected, "{results}");
        }
    }

    #[test]
    fn the_reason_is_that_of_the_last_result() {
        let thresholds = Thresholds { success: 2, failure: 1 };
        let mut tally = Tally::new(false);
        assert_eq!(tally.why_not(thresholds), "not probed yet");
        tally.count(Err("HTTP 503".to_owned()), thresholds);
        assert_eq!(tally.why_not(thresholds), "HTTP 503");
        tally.count(Ok(()), thresholds);
        assert_eq!(tally.why_not(thresholds), "succeeded 1 of 2 times in a row");
    }
}
