//! svc-lb's own annotations. What else stands there counts as nothing.

use k8s_openapi::{Metadata, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use svc_lb_common::selection::Algorithm;

/// On a Service: how an endpoint is chosen.
const ALGORITHM: &str = "svc-lb.io/algorithm";

/// On a Pod, an EndpointSlice or Endpoints: the weight of its endpoints.
const WEIGHT: &str = "svc-lb.io/weight";

/// How a Service wants an endpoint chosen.
pub fn algorithm(service: &impl Metadata<Ty = ObjectMeta>) -> Algorithm {
    match value(service, ALGORITHM) {
        Some("random") => Algorithm::Random,
        Some("maglev") => Algorithm::Maglev,
        Some("least-connections") => Algorithm::LeastConnections,
        _ => Algorithm::RoundRobin,
    }
}

/// The weight that an object gives: from 1 to 100, in digits.
pub fn weight(object: &impl Metadata<Ty = ObjectMeta>) -> Option<u8> {
    let digits = value(object, WEIGHT)?;
    let digits = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)?;
    digits.parse().ok().filter(|weight| (1..=100).contains(weight))
}

fn value<'a>(object: &'a impl Metadata<Ty = ObjectMeta>, annotation: &str) -> Option<&'a str> {
    object.metadata().annotations.as_ref()?.get(annotation).map(String::as_str)
}
