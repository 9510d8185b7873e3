//! `spec.loadBalancerSourceRanges`, as kube-proxy reads it.

use super::model::SourceRanges;
use crate::source::parse_cidr;
use k8s_openapi::api::core::v1::ServiceSpec;

/// The ranges of a Service. White space around one, and an empty one, mean nothing.
pub fn source_ranges(spec: &ServiceSpec) -> SourceRanges {
    let texts = spec.load_balancer_source_ranges.iter().flatten().map(|text| text.trim());
    let mut found = SourceRanges::default();
    for text in texts.filter(|text| !text.is_empty()) {
        match parse_cidr(text) {
            Some(range) => found.ranges.push(range),
            None => found.unreadable = true,
        }
    }
    found
}
