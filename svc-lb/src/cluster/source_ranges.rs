//! `spec.loadBalancerSourceRanges`, as kube-proxy reads it.

use super::model::SourceRanges;
use crate::source::parse_address;
use ipnet::IpNet;
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

/// Reads a range, whose address may have the forms that an address may have. `None` for an IPv4 range that is
/// spelt as an IPv6 one: programs differ in what they take it for.
fn parse_range(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let is_v6 = address.contains(':');
    let address = parse_address(address).filter(|address| address.is_ipv6() == is_v6)?;
    let length = length.bytes().all(|byte| byte.is_ascii_digit()).then(|| length.parse().ok())??;
    IpNet::new(address, length).ok().map(|range| range.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_trimmed_and_normalised() {
        for (text, expected) in [
            (" 203.0.113.7/25", Some("203.0.113.0/25")),
            ("010.000.0.0/8\n", Some("10.0.0.0/8")),
            ("FD00::1/64", Some("fd00::/64")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("::ffff:10.0.0.0/104", None),
            ("10.0.0.0/33", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.1", None),
            ("everybody", None),
        ] {
            let spec = ServiceSpec {
                load_balancer_source_ranges: Some(vec![text.to_owned(), " ".to_owned()]),
                ..ServiceSpec::default()
            };
            let ranges: Vec<IpNet> = expected.iter().map(|it| it.parse().expect("a range")).collect();
            let unreadable = ranges.is_empty();
            assert_eq!(source_ranges(&spec), SourceRanges { ranges, unreadable }, "{text:?}");
        }
    }
}
