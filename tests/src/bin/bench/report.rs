//! Measurements as a person reads them.

use crate::measurement::{Amount, Comparison, Measurement};
use std::fmt;

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

impl Tally {
    /// Counts the targets of a group too.
    pub fn add(&mut self, group: &Group) {
        let comparisons = group.measurements.iter().flat_map(|measurement| &measurement.comparisons);
        for met in comparisons.filter_map(Comparison::is_met) {
            *if met { &mut self.met } else { &mut self.missed } += 1;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} targets met, {} missed", self.met, self.missed)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let mut lines =
            vec![["", "median", "least", "most", "unit", "compared", "target", ""].map(str::to_owned)];
        lines.extend(self.measurements.iter().flat_map(lines_of));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for line in &lines {
            let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
                MEDIAN..=MOST => format!("  {cell:>width$}"),
                _ => format!("  {cell:width$}"),
            });
            writeln!(f, "{}", cells.collect::<String>().trim_end())?;
        }
        Ok(())
    }
}

/// Name, median, least, most, unit, comparison, target, whether it is met.
const COLUMNS: usize = 8;
const MEDIAN: usize = 1;
const MOST: usize = 3;

/// The first comparison is beside the values, further ones are below it.
fn lines_of(measurement: &Measurement) -> Vec<[String; COLUMNS]> {
    let unit = measurement.unit.symbol();
    let (least, most) = measurement.range();
    let [median, least, most] = [measurement.median(), least, most].map(number);
    let mut beginning = [measurement.name.clone(), median, least, most, unit.to_owned()];
    let mut lines = Vec::new();
    let compared = measurement.comparisons.iter().map(|comparison| in_words(comparison, unit));
    let uncompared = measurement.comparisons.is_empty().then(<[String; 3]>::default);
    for end in compared.chain(uncompared) {
        let [name, median, least, most, unit] = std::mem::take(&mut beginning);
        let [compared, target, met] = end;
        lines.push([name, median, least, most, unit, compared, target, met]);
    }
    lines
}

/// A comparison, its target, and whether that is met.
fn in_words(comparison: &Comparison, unit: &str) -> [String; 3] {
    let Comparison { with, amount, target } = comparison;
    let (amount, target) = match amount {
        Amount::Speed(speed) => (format!("{speed:.3} × {with}"), target.map(|least| format!("≥ {least}"))),
        Amount::More(more) => {
            (format!("{with} {more:+.0} {unit}"), target.map(|most| format!("≤ {most:+} {unit}")))
        }
        Amount::Times(times) => (format!("{times:.3} × {with}"), target.map(|most| format!("≤ {most}"))),
        Amount::Alone(_) => (String::new(), target.map(|most| format!("≤ {most} {unit}"))),
    };
    let met = comparison.is_met().map(|met| if met { "met" } else { "MISSED" });
    [amount, target.unwrap_or_default(), met.unwrap_or_default().to_owned()]
}

/// A value with as many digits as say something.
fn number(value: f64) -> String {
    let digits = if value.abs() < 100.0 { 2 } else { 0 };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::Unit;

    #[test]
    fn a_group_is_a_table_with_a_line_for_each_comparison() {
        let direct = Measurement::new("direct", Unit::ConnectionsPerSecond, vec![1000.0]);
        let other = Measurement::new("other", Unit::ConnectionsPerSecond, vec![500.0]);
        let own = Measurement::new("own", Unit::ConnectionsPerSecond, vec![900.0]);
        let own = own.speed_of(&direct, Some(0.95)).speed_of(&other, Some(1.1));
        let group = Group { title: "Connections".to_owned(), measurements: vec![direct, own] };
        let expected = "\
Connections
          median  least  most  unit    compared        target
  direct    1000   1000  1000  conn/s
  own        900    900   900  conn/s  0.900 × direct  ≥ 0.95  MISSED
                                       1.800 × other   ≥ 1.1   met
";
        assert_eq!(group.to_string(), expected);
        let mut tally = Tally::default();
        tally.add(&group);
        assert_eq!(tally.to_string(), "1 targets met, 1 missed");
    }
}
