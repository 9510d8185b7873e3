//! What was measured, as people and programs read it.
//!
//! A [`Group`] prints as a table. Beside it, a [`Report`] of all groups so far is written to files: JSON for
//! programs, and a page with charts for people.

mod chart;
mod html;
mod json;
mod machine;
mod terminal;

use crate::measurement::{Amount, Comparison, Measurement};
use anyhow::{Context, Result};
use machine::Machine;
use std::{fs, path::PathBuf};

/// The file for people.
const PAGE: &str = "report.html";

/// Measurements that belong together: a table under a title.
#[derive(Clone, Debug)]
pub struct Group {
    /// What was measured, and how.
    pub title: String,
    /// A line of the table each, and one more for each further comparison.
    pub measurements: Vec<Measurement>,
}

/// How many targets were met, and how many missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that were met.
    pub met: usize,
    /// Those that were missed.
    pub missed: usize,
}

/// All that was measured so far, and where.
#[derive(Debug)]
pub struct Report {
    directory: PathBuf,
    machine: Machine,
    quick: bool,
    chapters: Vec<Chapter>,
}

/// What one benchmark measured.
#[derive(Debug)]
struct Chapter {
    benchmark: String,
    groups: Vec<Group>,
}

/// A comparison that has a target.
struct Target<'a> {
    group: &'a Group,
    measurement: &'a Measurement,
    comparison: &'a Comparison,
    met: bool,
}

impl Group {
    /// Its comparisons that have a target.
    fn targets(&self) -> impl Iterator<Item = Target<'_>> {
        self.measurements.iter().flat_map(move |measurement| {
            measurement.comparisons.iter().filter_map(move |comparison| {
                Some(Target { group: self, measurement, comparison, met: comparison.is_met()? })
            })
        })
    }
}

impl Report {
    /// One without measurements, on this machine, to be written to a directory.
    pub fn new(directory: PathBuf, quick: bool) -> Self {
        Self { directory, machine: Machine::this(), quick, chapters: Vec::new() }
    }

    /// Adds what a benchmark measured, and writes everything anew: what is on disk is always whole.
    pub fn add(&mut self, benchmark: &str, group: Group) -> Result<()> {
        match self.chapters.last_mut() {
            Some(chapter) if chapter.benchmark == benchmark => chapter.groups.push(group),
            _ => self.chapters.push(Chapter { benchmark: benchmark.to_owned(), groups: vec![group] }),
        }
        self.write("report.json", &json::of(self))?;
        self.write(PAGE, &html::of(self))
    }

    /// Where the page for people is.
    pub fn page(&self) -> PathBuf {
        self.directory.join(PAGE)
    }

    /// How many targets were met, and how many missed.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for target in self.targets() {
            *if target.met { &mut tally.met } else { &mut tally.missed } += 1;
        }
        tally
    }

    fn targets(&self) -> impl Iterator<Item = Target<'_>> {
        self.chapters.iter().flat_map(|chapter| &chapter.groups).flat_map(Group::targets)
    }

    /// Replaces a file at once: whoever reads it sees the old one or the new one.
    fn write(&self, name: &str, content: &str) -> Result<()> {
        let (path, temporary) = (self.directory.join(name), self.directory.join(format!(".{name}.new")));
        let replace = || {
            fs::create_dir_all(&self.directory)?;
            fs::write(&temporary, content)?;
            fs::rename(&temporary, &path)
        };
        replace().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A comparison, and its target, if it has one.
fn in_words(comparison: &Comparison, unit: &str) -> [String; 2] {
    let Comparison { with, amount, target } = comparison;
    let (amount, target) = match amount {
        Amount::Speed(speed) => (format!("{speed:.3} × {with}"), target.map(|least| format!("≥ {least}"))),
        Amount::More(more) => {
            (format!("{with} {more:+.0} {unit}"), target.map(|most| format!("≤ {most:+} {unit}")))
        }
        Amount::Times(times) => (format!("{times:.3} × {with}"), target.map(|most| format!("≤ {most}"))),
        Amount::Alone(_) => (String::new(), target.map(|most| format!("≤ {most} {unit}"))),
    };
    [amount, target.unwrap_or_default()]
}

/// A value with as many digits as say something.
fn number(value: f64) -> String {
    let digits = if value.abs() < 100.0 { 2 } else { 0 };
    format!("{value:.digits$}")
}

/// How many of something there are, as it is printed.
pub fn thousands(number: u32) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::Unit;

    /// Two targets, of which one is met.
    pub(super) fn group() -> Group {
        let direct = Measurement::new("direct", Unit::ConnectionsPerSecond, vec![1000.0]);
        let other = Measurement::new("other", Unit::ConnectionsPerSecond, vec![500.0]);
        let own = Measurement::new("own", Unit::ConnectionsPerSecond, vec![900.0, 850.0, 950.0]);
        let own = own.speed_of(&direct, Some(0.95)).speed_of(&other, Some(1.1));
        Group { title: "Connections".to_owned(), measurements: vec![direct, other, own] }
    }

    pub(super) fn report() -> Report {
        let chapter = Chapter { benchmark: "end-to-end".to_owned(), groups: vec![group()] };
        Report {
            directory: PathBuf::new(),
            machine: Machine {
                kernel: "6.18".to_owned(),
                processor: "A & B".to_owned(),
                processors: 2,
                date: "2026-01-01T00:00:00Z".to_owned(),
                commit: "0123abc".to_owned(),
            },
            quick: false,
            chapters: vec![chapter],
        }
    }

    #[test]
    fn numbers_have_groups_of_three_digits() {
        assert_eq!([10, 1_000, 50_000].map(thousands), ["10", "1,000", "50,000"]);
    }

    #[test]
    fn every_target_counts_once() {
        assert_eq!(report().tally().to_string(), "1 targets met, 1 missed");
    }

    #[test]
    fn the_files_are_whole_after_each_group() -> Result<()> {
        let directory = std::env::temp_dir().join(format!("svc-lb-report-{}", std::process::id()));
        let mut report = Report { directory: directory.clone(), ..report() };
        for groups in 2..4 {
            report.add("end-to-end", group())?;
            let json: serde_json::Value =
                serde_json::from_str(&fs::read_to_string(directory.join("report.json"))?)?;
            assert_eq!(json["benchmarks"][0]["groups"].as_array().map(Vec::len), Some(groups));
            let page = fs::read_to_string(directory.join("report.html"))?;
            assert_eq!(page.matches("<svg").count(), groups);
            assert!(page.trim_end().ends_with("</html>"));
        }
        fs::remove_dir_all(directory)?;
        Ok(())
    }
}
