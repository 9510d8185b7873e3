//! `spec.loadBalancerSourceRanges`, as kube-proxy reads it.

use super::model::SourceRanges;
use crate::source::parse_range;
use k8s_openapi::api::core::v1::ServiceSpec;

/// The ranges of a Service. White space around one, and an empty one, mean nothing.
pub fn source_ranges(spec: &ServiceSpec) -> SourceRanges {
    let texts = spec.load_balancer_source_ranges.iter().flatten().map(|text| text.trim());
    let mut found = SourceRanges::default();
    for text in texts.filter(|text| !text.is_empty()) {
        match parse_range(text) {
            Some(range) => found.ranges.push(range),
            None => found.unreadable = true,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_means_nothing_and_what_is_no_range_is_told() {
        for (texts, expected, unreadable) in [
            (&[" 203.0.113.7/25", " "][..], &["203.0.113.0/25"][..], false),
            (&["10.0.0.0/8", "everybody"], &["10.0.0.0/8"], true),
            (&["", "\n"], &[], false),
        ] {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            let spec = ServiceSpec { load_balancer_source_ranges: Some(texts), ..ServiceSpec::default() };
            let ranges = expected.iter().map(|it| it.parse().expect("a range")).collect();
            assert_eq!(source_ranges(&spec), SourceRanges { ranges, unreadable }, "{expected:?}");
        }
    }
}
