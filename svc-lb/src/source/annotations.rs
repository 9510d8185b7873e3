//! svc-lb's own annotations. What else stands there is reported, and counts as nothing.

use super::finding::Problem;
use k8s_openapi::{Metadata, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use std::ops::RangeInclusive;
use svc_lb_common::selection::Algorithm;

/// On a Service: how an endpoint is chosen.
pub const ALGORITHM: &str = "svc-lb.io/algorithm";

/// On a Pod, an EndpointSlice or Endpoints: the weight of its endpoints.
pub const WEIGHT: &str = "svc-lb.io/weight";

/// How the names of all of them start.
const PREFIX: &str = "svc-lb.io/";

/// What [`ALGORITHM`] may be.
pub const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("round-robin", Algorithm::RoundRobin),
    ("random", Algorithm::Random),
    ("maglev", Algorithm::Maglev),
    ("least-connections", Algorithm::LeastConnections),
];

/// What [`WEIGHT`] may be.
const WEIGHTS: RangeInclusive<u8> = 1..=100;

/// How a Service wants an endpoint chosen.
pub fn algorithm(service: &impl Metadata<Ty = ObjectMeta>) -> Algorithm {
    value(service, ALGORITHM).and_then(parse_algorithm).unwrap_or_default()
}

/// The weight that an object gives: from 1 to 100, in digits.
pub fn weight(object: &impl Metadata<Ty = ObjectMeta>) -> Option<u8> {
    parse_weight(value(object, WEIGHT)?)
}

fn value<'a>(object: &'a impl Metadata<Ty = ObjectMeta>, annotation: &str) -> Option<&'a str> {
    object.metadata().annotations.as_ref()?.get(annotation).map(String::as_str)
}

fn parse_algorithm(text: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(name, _)| *name == text).map(|(_, algorithm)| *algorithm)
}

fn parse_weight(text: &str) -> Option<u8> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|weight| digits && WEIGHTS.contains(weight))
}

/// Whether an annotation is one of svc-lb's.
pub(super) fn is_ours(annotation: &str) -> bool {
    annotation.starts_with(PREFIX)
}

/// Adds what is wrong with those of svc-lb's annotations that an object of some kind carries.
pub(super) fn check(kind: &str, metadata: &ObjectMeta, problems: &mut Vec<Problem>) {
    for (annotation, value) in metadata.annotations.iter().flatten() {
        let of_this_kind = match annotation.as_str() {
            ALGORITHM => kind == "Service",
            WEIGHT => matches!(kind, "Pod" | "EndpointSlice" | "Endpoints"),
            _ => false,
        };
        if of_this_kind {
            problems.extend(wrong_value(annotation, value));
        } else if is_ours(annotation) {
            problems.push(Problem::warning(
                field(annotation),
                format!("svc-lb knows no annotation {annotation} on a {kind}, so it has no effect"),
                format!(
                    "there are {ALGORITHM} on Services, and {WEIGHT} on Pods, EndpointSlices and Endpoints"
                ),
                "write one of these, or delete it",
            ));
        }
    }
}

fn field(annotation: &str) -> String {
    format!("metadata.annotations.{annotation}")
}

/// What is wrong with the value of a known annotation.
fn wrong_value(annotation: &str, value: &str) -> Option<Problem> {
    let is_good = if annotation == ALGORITHM {
        parse_algorithm(value).is_some()
    } else {
        parse_weight(value).is_some()
    };
    if is_good {
        return None;
    }
    let (why, mend) = if annotation == ALGORITHM {
        let names = ALGORITHMS.map(|(name, _)| name).join(", ");
        (format!("it is one of {names}"), "write another; until then it is round-robin")
    } else {
        let (first, last) = (WEIGHTS.start(), WEIGHTS.end());
        let why = format!("a weight is a whole number from {first} to {last}");
        (why, "write another; until then it counts as left out")
    };
    Some(Problem::error(field(annotation), format!("{annotation} is {value:?}"), why, mend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;

    fn service(annotations: &[(&str, &str)]) -> Service {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let metadata = ObjectMeta { annotations: Some(annotations.collect()), ..ObjectMeta::default() };
        Service { metadata, ..Service::default() }
    }

    #[test]
    fn an_algorithm_is_one_of_four_by_its_name() {
        for (name, expected) in [
            ("random", Algorithm::Random),
            ("maglev", Algorithm::Maglev),
            ("least-connections", Algorithm::LeastConnections),
            ("round-robin", Algorithm::RoundRobin),
            ("Maglev", Algorithm::RoundRobin),
            (" random", Algorithm::RoundRobin),
        ] {
            assert_eq!(algorithm(&service(&[(ALGORITHM, name)])), expected, "{name:?}");
        }
        assert_eq!(algorithm(&Service::default()), Algorithm::RoundRobin);
    }

    #[test]
    fn only_weights_from_1_to_100_are_given() {
        for (text, expected) in [("1", 1), ("42", 42), ("100", 100), ("007", 7)] {
            assert_eq!(weight(&service(&[(WEIGHT, text)])), Some(expected), "{text:?}");
        }
        for text in ["", "0", "101", "300", "-1", "+1", "1.5", " 1", "one"] {
            assert_eq!(weight(&service(&[(WEIGHT, text)])), None, "{text:?}");
        }
        assert_eq!(weight(&Service::default()), None);
    }
}
