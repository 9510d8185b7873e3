//! The steps of a command: a heading before each, and a summary at the end.

use anyhow::Result;
use std::time::{Duration, Instant};

/// What was done so far.
#[derive(Default)]
pub struct Steps(Vec<Step>);

struct Step {
    name: String,
    took: Duration,
    succeeded: bool,
}

impl Steps {
    /// Does a step under a heading.
    pub fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("==> {name}");
        let start = Instant::now();
        let result = step();
        self.0.push(Step { name: name.to_owned(), took: start.elapsed(), succeeded: result.is_ok() });
        result
    }

    /// Prints each step with the time it took, once.
    pub fn summarize(&mut self) {
        if self.0.is_empty() {
            return;
        }
        eprintln!("==> summary");
        for Step { name, took, succeeded } in self.0.drain(..) {
            let outcome = if succeeded { "done" } else { "FAILED" };
            eprintln!("    {outcome:6} {:8.1} s  {name}", took.as_secs_f64());
        }
    }
}

/// Says in a line what a step does.
pub fn say(line: &str) {
    eprintln!("    {line}");
}
