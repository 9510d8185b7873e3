//! A group as bars: medians, with the range of the values and marks where the targets are.

use super::{Group, html::escaped, number};
use crate::measurement::{Amount, Comparison, Measurement};
use std::fmt::Write as _;

/// The measures of a chart, in the units of its view box.
const WIDTH: f64 = 960.0;
const BARS_AT: f64 = 300.0;
const BARS: f64 = 430.0;
const VALUES_AT: f64 = BARS_AT + BARS + 12.0;
const ROW: f64 = 26.0;
const BAR: f64 = 14.0;

/// How far a scale goes beyond its longest bar and farthest target; a range may be cut off there. Else one bad
/// round would leave no room for what matters.
const MARGIN: f64 = 1.15;

/// The chart of a group, as SVG. Its colours are those of classes of the page.
pub fn of(group: &Group) -> String {
    let height = ROW * f64::from(group.measurements.len() as u32);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        escaped(&group.title)
    );
    for (row, measurement) in (0_u32..).zip(&group.measurements) {
        add_row(&mut svg, group, measurement, ROW * f64::from(row));
    }
    svg.push_str("</svg>\n");
    svg
}

fn add_row(svg: &mut String, group: &Group, measurement: &Measurement, top: f64) {
    let scale = BARS / end_of_scale(group, measurement);
    let at = |value: f64| BARS_AT + (value * scale).clamp(0.0, BARS);
    let (least, most) = measurement.range();
    let (median, unit) = (measurement.median(), measurement.unit.symbol());
    let (bar, middle, text) = (top + (ROW - BAR) / 2.0, top + ROW / 2.0, top + ROW / 2.0 + 4.5);
    let (from, to) = (at(least), at(most));
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>",
        BARS_AT - 10.0,
        escaped(&measurement.name)
    );
    let _ = writeln!(
        svg,
        "<rect class=\"{}\" x=\"{BARS_AT}\" y=\"{bar}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
        class(measurement),
        at(median) - BARS_AT
    );
    let _ = writeln!(
        svg,
        "<path class=\"range\" d=\"M{from:.1} {middle}H{to:.1}M{from:.1} {low}V{high}M{to:.1} {low}V{high}\"/>",
        low = middle - 3.0,
        high = middle + 3.0
    );
    for comparison in &measurement.comparisons {
        if let Some(place) = place_of_target(group, measurement, comparison) {
            let met = if comparison.is_met() == Some(true) { "met" } else { "missed" };
            let _ = writeln!(
                svg,
                "<path class=\"target {met}\" d=\"M{place:.1} {low}V{high}\"/>",
                place = at(place),
                low = top + 2.0,
                high = top + ROW - 2.0
            );
        }
    }
    let range = if measurement.values.len() > 1 {
        format!("{} – {}", number(least), number(most))
    } else {
        String::new()
    };
    let _ = writeln!(
        svg,
        "<text x=\"{VALUES_AT}\" y=\"{text}\"><tspan class=\"median\">{}</tspan> {unit} <tspan class=\"least-most\">{range}</tspan></text>",
        number(median)
    );
}

/// Whether it has targets, and met them all.
fn class(measurement: &Measurement) -> &'static str {
    let mut met = measurement.comparisons.iter().filter_map(Comparison::is_met).peekable();
    if met.peek().is_none() {
        "bar"
    } else if met.all(|met| met) {
        "bar met"
    } else {
        "bar missed"
    }
}

/// Where the scale of a measurement ends, which it shares with all of its unit.
fn end_of_scale(group: &Group, measurement: &Measurement) -> f64 {
    let same_unit = group.measurements.iter().filter(|other| other.unit == measurement.unit);
    let ends = same_unit.flat_map(|other| {
        let targets = other.comparisons.iter().filter_map(|it| place_of_target(group, other, it));
        targets.chain([other.median()]).collect::<Vec<_>>()
    });
    // Where all is zero, any scale will do.
    ends.filter(|end| end.is_finite()).fold(f64::MIN_POSITIVE, f64::max) * MARGIN
}

/// The value at which a target would just be met, beside the median of its reference; `None`, if it has no
/// target, or its reference is elsewhere.
fn place_of_target(group: &Group, measurement: &Measurement, comparison: &Comparison) -> Option<f64> {
    let target = comparison.target?;
    let reference = || {
        let reference = group.measurements.iter().find(|other| other.name == comparison.with);
        reference.map(Measurement::median)
    };
    Some(match comparison.amount {
        Amount::Speed(_) if measurement.unit.is_rate() => reference()? * target,
        Amount::Speed(_) => reference()? / target,
        Amount::More(_) => reference()? + target,
        Amount::Times(_) => reference()? * target,
        Amount::Alone(_) => target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::Unit;

    #[test]
    fn targets_are_where_they_would_just_be_met() {
        let rate = super::super::tests::group();
        let places = |group: &Group, measurement: &Measurement| -> Vec<Option<f64>> {
            measurement.comparisons.iter().map(|it| place_of_target(group, measurement, it)).collect()
        };
        assert_eq!(places(&rate, &rate.measurements[2]), [Some(950.0), Some(550.0)]);

        let floor = Measurement::new("floor", Unit::Nanoseconds, vec![100.0]);
        let own = Measurement::new("own", Unit::Nanoseconds, vec![110.0]);
        let own = own
            .speed_of(&floor, Some(0.5))
            .more_than(&floor, Some(20.0))
            .times_of(&floor, Some(1.5))
            .at_most(300.0)
            .speed_of(&floor, None);
        let group = Group { title: String::new(), measurements: vec![floor, own] };
        let expected = [Some(200.0), Some(120.0), Some(150.0), Some(300.0), None];
        assert_eq!(places(&group, &group.measurements[1]), expected);
    }

    #[test]
    fn a_round_that_went_wrong_leaves_the_bars_their_room() {
        let values = vec![10.0, 10.0, 100_000.0];
        let measurements = vec![Measurement::new("own", Unit::Nanoseconds, values)];
        let group = Group { title: String::new(), measurements };
        assert!((end_of_scale(&group, &group.measurements[0]) - 11.5).abs() < 1e-9);
        let svg = of(&group);
        assert!(svg.contains(&format!("H{:.1}M", BARS_AT + BARS)), "{svg}");
    }
}
