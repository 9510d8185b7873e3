//! `spec.loadBalancerSourceRanges`, as kube-proxy reads it.

use super::model::SourceRanges;
use crate::source::{Service, parse_cidr};

/// The ranges of a Service. White space around one, and an empty one, mean nothing.
pub fn source_ranges(service: &Service) -> SourceRanges {
    let texts = service.load_balancer_source_ranges.iter().map(|text| text.trim());
    let mut found = SourceRanges::default();
    for text in texts.filter(|text| !text.is_empty()) {
        match parse_cidr(text) {
            Some(range) => found.ranges.push(range),
            None => found.unreadable = true,
        }
    }
    found
}
