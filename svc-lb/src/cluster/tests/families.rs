//! The families of a Service, and its ClusterIPs.

use super::*;

const DUAL: [&str; 2] = ["10.96.0.0/24", "fd00::/112"];

/// The families and ClusterIPs of a Service with these further lines of its spec, and how many
/// warnings and errors it causes.
fn of(spec: &str, cluster_ip_ranges: &[&str]) -> (Vec<Family>, Vec<IpAddr>, usize) {
    let joined =
        joined_with(&service("web", spec), &ranges(cluster_ip_ranges, 30000, 32767), &Allocations::default());
    let service = &joined.cluster.services[0];
    let findings = joined.findings();
    let grave = findings.iter().filter(|finding| finding.severity != Severity::Info);
    (service.families.clone(), service.cluster_ips.clone(), grave.count())
}

#[test]
fn a_service_gets_an_address_of_each_of_its_families() {
    let (v4, v6) = (Family::V4, Family::V6);
    for (spec, ranges, expected) in [
        ("", &DUAL[..], vec![v4]),
        ("", &["fd00::/112", "10.96.0.0/24"], vec![v6]),
        ("  ipFamilies: [IPv6]\n", &DUAL, vec![v6]),
        ("  ipFamilyPolicy: PreferDualStack\n", &DUAL, vec![v4, v6]),
        ("  ipFamilyPolicy: PreferDualStack\n  ipFamilies: [IPv6]\n", &DUAL, vec![v6, v4]),
        ("  ipFamilyPolicy: PreferDualStack\n", &DUAL[..1], vec![v4]),
        ("  ipFamilyPolicy: RequireDualStack\n", &DUAL, vec![v4, v6]),
        ("  ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv6, IPv4]\n", &DUAL, vec![v6, v4]),
    ] {
        let (families, cluster_ips, grave) = of(spec, ranges);
        assert_eq!(families, expected, "{spec}");
        assert_eq!(cluster_ips.iter().map(|address| Family::of(*address)).collect::<Vec<_>>(), expected);
        assert_eq!(grave, 0, "{spec}");
    }
}

#[test]
fn what_the_manifest_gives_is_used_and_the_rest_is_given() {
    let (families, cluster_ips, _) = of("  clusterIP: fd00::5\n", &DUAL);
    assert_eq!((families, cluster_ips), (vec![Family::V6], vec!["fd00::5".parse().unwrap()]));
    let spec = "  clusterIPs: ['fd00::5']\n  ipFamilyPolicy: PreferDualStack\n";
    let (families, cluster_ips, _) = of(spec, &DUAL);
    assert_eq!(families, [Family::V6, Family::V4]);
    assert_eq!(cluster_ips[0], "fd00::5".parse::<IpAddr>().unwrap());
    assert!(cluster_ips[1].is_ipv4());
    let (_, cluster_ips, warnings) = of("  clusterIP: 172.30.0.1\n", &DUAL);
    assert_eq!(cluster_ips, ["172.30.0.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(warnings, 1, "an address of another range is served, with a warning");
}

#[test]
fn a_family_without_a_range_is_an_error() {
    for spec in ["  ipFamilies: [IPv6]\n", "  ipFamilyPolicy: RequireDualStack\n"] {
        let (_, cluster_ips, errors) = of(spec, &DUAL[..1]);
        assert_eq!(errors, 1, "{spec}");
        assert!(cluster_ips.iter().all(IpAddr::is_ipv4), "{spec}");
    }
}
