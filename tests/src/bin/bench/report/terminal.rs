//! The report as tables on a terminal.

use super::{Group, Tally, in_words, number};
use crate::measurement::Measurement;
use std::fmt;

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
    let compared = measurement.comparisons.iter().map(|comparison| {
        let met = comparison.is_met().map(|met| if met { "met" } else { "MISSED" });
        let [compared, target] = in_words(comparison, unit);
        [compared, target, met.unwrap_or_default().to_owned()]
    });
    let uncompared = measurement.comparisons.is_empty().then(<[String; 3]>::default);
    for end in compared.chain(uncompared) {
        let [name, median, least, most, unit] = std::mem::take(&mut beginning);
        let [compared, target, met] = end;
        lines.push([name, median, least, most, unit, compared, target, met]);
    }
    lines
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_group_is_a_table_with_a_line_for_each_comparison() {
        let expected = "\
Connections
          median  least  most  unit    compared        target
  direct    1000   1000  1000  conn/s
  other      500    500   500  conn/s
  own        900    850   950  conn/s  0.900 × direct  ≥ 0.95  MISSED
                                       1.800 × other   ≥ 1.1   met
";
        assert_eq!(super::super::tests::group().to_string(), expected);
    }
}
