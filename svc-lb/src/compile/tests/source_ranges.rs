//! Who may use the addresses of a load balancer.

use super::*;
use crate::compile::Family;

/// The sources that may use the addresses of a dual-stack Service's load balancer, in each family.
fn allowed(ranges: &str) -> [String; 2] {
    let spec = format!(
        "  type: LoadBalancer\n  clusterIPs: [10.96.0.10, 'fd00::10']\n  ipFamilyPolicy: PreferDualStack\n  \
         ports: [{{port: 80}}]\n  loadBalancerSourceRanges: [{ranges}]\n"
    );
    let yaml = service("web", &spec) + &ingress("{ip: 203.0.113.7}, {ip: '2001:db8:1::7'}");
    let services = compiled(&yaml).tables.services;
    [Family::V4, Family::V6].map(|family| {
        let service = services.iter().find(|(name, _)| name.family == family).expect("a service").1;
        match &service.source_ranges {
            None => "everybody".to_owned(),
            Some(ranges) if ranges.is_empty() => "nobody".to_owned(),
            Some(ranges) => ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        }
    })
}

#[test]
fn only_given_ranges_of_a_family_restrict_it() {
    assert_eq!(allowed(""), ["everybody", "everybody"]);
    assert_eq!(allowed("' 203.0.113.7/25 '"), ["203.0.113.0/25", "everybody"]);
    assert_eq!(allowed("172.16.0.0/12, 'fd00::/8'"), ["172.16.0.0/12", "fd00::/8"]);
}

#[test]
fn the_range_of_everybody_allows_everybody_of_its_family() {
    assert_eq!(allowed("172.16.0.0/12, 0.0.0.0/0, 'fd00::/8'"), ["everybody", "fd00::/8"]);
    assert_eq!(allowed("172.16.0.0/12, '::/0'"), ["172.16.0.0/12", "everybody"]);
}

#[test]
fn a_range_that_cannot_be_read_is_skipped_and_opens_nothing() {
    assert_eq!(allowed("172.16.0.0/12, 10.0.0.0/33, 'fd00::/8'"), allowed("172.16.0.0/12, 'fd00::/8'"));
    assert_eq!(allowed("10.0.0.0/33"), ["nobody", "nobody"]);
}

#[test]
fn a_node_in_a_range_may_also_come_from_the_load_balancers_address() {
    assert_eq!(allowed("192.0.2.0/24"), ["192.0.2.0/24 203.0.113.7/32", "everybody"]);
    assert_eq!(allowed("'2001:db8::/64'"), ["everybody", "2001:db8::/64 2001:db8:1::7/128"]);
    assert_eq!(
        allowed("198.51.100.0/24"),
        ["198.51.100.0/24", "everybody"],
        "only the node's primary address counts"
    );
}

#[test]
fn ranges_are_for_addresses_of_load_balancers() {
    let spec = "  type: LoadBalancer\n  clusterIP: 10.96.0.10\n  ports: [{port: 80}]\n  \
                externalIPs: [203.0.113.9]\n  loadBalancerSourceRanges: [172.16.0.0/12]\n";
    assert_eq!(only_service(&compiled(&service("web", spec))).source_ranges, None);
}
