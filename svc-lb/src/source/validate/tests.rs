//! Each mistake, as it is reported and where.

mod addresses;
mod annotations;
mod endpoint_slices;
mod endpoints;
mod good;
mod limits;
mod load_balancer;
mod metadata;
mod nodes;
mod pods;
mod policies;
mod ports;

use crate::source::{Objects, read_text};

/// The object stays in use.
const STAYS: bool = true;

/// The object is left out.
const LEFT_OUT: bool = false;

/// A manifest from where it starts to differ from others, whether its object stays, and all findings, one
/// a line.
type Row<'a> = (&'a str, bool, &'a str);

/// Asserts what is found in manifests that start alike.
#[track_caller]
fn assert_findings(start: &str, rows: &[Row<'_>]) {
    for (rest, stays, expected) in rows {
        let reading = read_text("x", &format!("{start}{rest}"));
        let found: Vec<_> =
            reading.findings.iter().map(|finding| finding.to_string().replacen("x:", "", 1)).collect();
        assert_eq!(found.join("\n"), *expected, "{rest}");
        assert_eq!(number_of_objects(&reading.objects), usize::from(*stays), "{rest}");
    }
}

fn number_of_objects(objects: &Objects) -> usize {
    let Objects { services, endpoint_slices, endpoints, pods, nodes, .. } = objects;
    services.len() + endpoint_slices.len() + endpoints.len() + pods.len() + nodes.len()
}
