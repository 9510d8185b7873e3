//! svc-lb's own annotations.

use super::finding::Problem;
use k8s_openapi::{Metadata, api::core::v1::Service, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use std::ops::RangeInclusive;

/// On a Service: how new connections choose among its endpoints. One of [`ALGORITHMS`].
pub const ALGORITHM: &str = "svc-lb.io/algorithm";

/// On a Pod, an EndpointSlice or Endpoints: how many times as often as an endpoint without weight one of it
/// is chosen. One of [`WEIGHTS`].
pub const WEIGHT: &str = "svc-lb.io/weight";

/// What [`ALGORITHM`] may be. The first holds where it is left out, or is anything else.
pub const ALGORITHMS: [&str; 4] = ["round-robin", "random", "maglev", "least-connections"];

/// What [`WEIGHT`] may be. Where it is left out, or is anything else, the weight is 1.
pub const WEIGHTS: RangeInclusive<u8> = 1..=100;

/// How the names of all of them start.
const PREFIX: &str = "svc-lb.io/";

/// The algorithm that a Service asks for, one of [`ALGORITHMS`]; `None` where it asks for none, or for one
/// that there is not.
pub fn algorithm(service: &Service) -> Option<&str> {
    value(&service.metadata, ALGORITHM).filter(|name| ALGORITHMS.contains(name))
}

/// The weight that an object gives, one of [`WEIGHTS`]; `None` where it gives none, or one that there is not.
pub fn weight(object: &impl Metadata<Ty = ObjectMeta>) -> Option<u8> {
    parse_weight(value(object.metadata(), WEIGHT)?)
}

fn value<'a>(metadata: &'a ObjectMeta, annotation: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(annotation).map(String::as_str)
}

fn parse_weight(text: &str) -> Option<u8> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|weight| digits && WEIGHTS.contains(weight))
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
        } else if annotation.starts_with(PREFIX) {
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
    let (why, until_then) = if annotation == ALGORITHM {
        if ALGORITHMS.contains(&value) {
            return None;
        }
        (format!("it is one of {}", ALGORITHMS.join(", ")), format!("{} is used", ALGORITHMS[0]))
    } else {
        if parse_weight(value).is_some() {
            return None;
        }
        let (first, last) = (WEIGHTS.start(), WEIGHTS.end());
        (format!("a weight is a whole number from {first} to {last}"), "the weight is 1".to_owned())
    };
    let what = format!("{annotation} is {value:?}");
    Some(Problem::error(field(annotation), what, why, format!("write another; until then {until_then}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(annotations: &[(&str, &str)]) -> Service {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let metadata = ObjectMeta { annotations: Some(annotations.collect()), ..ObjectMeta::default() };
        Service { metadata, ..Service::default() }
    }

    #[test]
    fn only_algorithms_that_there_are_are_asked_for() {
        for name in ALGORITHMS {
            assert_eq!(algorithm(&service(&[(ALGORITHM, name)])), Some(name));
        }
        for name in ["", "Maglev", "round robin", " random"] {
            assert_eq!(algorithm(&service(&[(ALGORITHM, name)])), None, "{name:?}");
        }
        assert_eq!(algorithm(&Service::default()), None);
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
