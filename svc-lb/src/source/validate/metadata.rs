//! `metadata`, of every kind of object. The name and the namespace are checked where they are read.

use super::names::{is_label_value, is_qualified_name};
use crate::source::finding::Problem;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// How many bytes the keys and values of an object's annotations may have together.
const MOST_BYTES_OF_ANNOTATIONS: usize = 256 * 1024;

/// Checks labels and annotations.
pub fn validate(metadata: &ObjectMeta, problems: &mut Vec<Problem>) {
    labels(problems, "metadata.labels", metadata.labels.iter().flatten());
    let annotations = metadata.annotations.iter().flatten();
    for (key, _) in annotations.clone() {
        // Annotations may have upper-case letters before the slash, unlike labels.
        check_key(problems, "metadata.annotations", key, is_qualified_name(&key.to_lowercase()));
    }
    let bytes: usize = annotations.map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MOST_BYTES_OF_ANNOTATIONS {
        problems.push(Problem::error(
            "metadata.annotations",
            format!("the annotations have {bytes} bytes"),
            format!("they may have {MOST_BYTES_OF_ANNOTATIONS}"),
            "write fewer; until then they are read all the same",
        ));
    }
}

/// Checks the keys and values of labels, or of a selector of labels.
pub fn labels<'a>(
    problems: &mut Vec<Problem>,
    field: &str,
    labels: impl Iterator<Item = (&'a String, &'a String)>,
) {
    for (key, value) in labels {
        check_key(problems, field, key, is_qualified_name(key));
        if !is_label_value(value) {
            problems.push(Problem::error(
                format!("{field}.{key}"),
                format!("{field}.{key} is {value:?}"),
                "a label's value has letters, digits, '-', '_' and '.', at most 63 of them, and starts and ends \
                 with a letter or a digit",
                "write another; until then this one is read as it stands",
            ));
        }
    }
}

fn check_key(problems: &mut Vec<Problem>, field: &str, key: &str, good: bool) {
    if !good {
        problems.push(Problem::error(
            format!("{field}.{key}"),
            format!("{key:?} is a key of {field}"),
            "a key is a name of letters, digits, '-', '_' and '.', at most 63 of them, maybe with a DNS name and \
             '/' before it",
            "write another; until then this one is read as it stands",
        ));
    }
}
