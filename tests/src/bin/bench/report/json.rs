//! The report for programs: everything that was measured, each value of it.

use super::{Group, Report};
use crate::measurement::{Amount, Comparison, Measurement};
use serde_json::{Value, json};

/// The report as JSON.
pub fn of(report: &Report) -> String {
    let machine = &report.machine;
    let tally = report.tally();
    let benchmarks: Vec<Value> = report
        .chapters
        .iter()
        .map(|chapter| {
            let groups: Vec<Value> = chapter.groups.iter().map(group).collect();
            json!({"name": chapter.benchmark, "groups": groups})
        })
        .collect();
    let whole = json!({
        "machine": {
            "kernel": machine.kernel,
            "processor": machine.processor,
            "processors": machine.processors,
            "date": machine.date,
            "commit": machine.commit,
        },
        "quick": report.quick,
        "targets": {"met": tally.met, "missed": tally.missed},
        "benchmarks": benchmarks,
    });
    format!("{whole:#}\n")
}

fn group(group: &Group) -> Value {
    let measurements: Vec<Value> = group.measurements.iter().map(measurement).collect();
    json!({"title": group.title, "measurements": measurements})
}

fn measurement(measurement: &Measurement) -> Value {
    let (least, most) = measurement.range();
    let comparisons: Vec<Value> = measurement.comparisons.iter().map(comparison).collect();
    json!({
        "name": measurement.name,
        "unit": measurement.unit.symbol(),
        "median": measurement.median(),
        "least": least,
        "most": most,
        "values": measurement.values,
        "comparisons": comparisons,
    })
}

/// `with` is null, and so are `target` and `met`, where there is none.
fn comparison(comparison: &Comparison) -> Value {
    let (kind, amount) = match comparison.amount {
        Amount::Speed(speed) => ("speed", speed),
        Amount::More(more) => ("more", more),
        Amount::Times(times) => ("times", times),
        Amount::Alone(alone) => ("alone", alone),
    };
    json!({
        "kind": kind,
        "with": (!comparison.with.is_empty()).then_some(&comparison.with),
        "amount": amount,
        "target": comparison.target,
        "met": comparison.is_met(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_there() -> serde_json::Result<()> {
        let whole: Value = serde_json::from_str(&of(&super::super::tests::report()))?;
        assert_eq!(whole["targets"], json!({"met": 1, "missed": 1}));
        assert_eq!(whole["machine"]["processor"], "A & B");
        let own = &whole["benchmarks"][0]["groups"][0]["measurements"][2];
        assert_eq!(own["values"], json!([900.0, 850.0, 950.0]));
        assert_eq!(
            (&own["least"], &own["median"], &own["most"]),
            (&json!(850.0), &json!(900.0), &json!(950.0))
        );
        assert_eq!(
            own["comparisons"][0],
            json!({"kind": "speed", "with": "direct", "amount": 0.9, "target": 0.95, "met": false})
        );
        Ok(())
    }
}
