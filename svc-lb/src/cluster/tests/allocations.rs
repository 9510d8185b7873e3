//! ClusterIPs and ports of the nodes that svc-lb gives.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

#[test]
fn node_ports_are_given_where_the_type_asks_for_them() {
    for (spec, expected) in [
        ("", 0),
        ("  type: NodePort\n", 1),
        ("  type: LoadBalancer\n", 1),
        ("  type: LoadBalancer\n  allocateLoadBalancerNodePorts: false\n", 0),
    ] {
        let joined = joined(&service("web", spec));
        let ports = &joined.cluster.services[0].ports;
        assert_eq!(ports.iter().filter(|port| port.node_port.is_some()).count(), expected, "{spec}");
    }
}

#[test]
fn a_node_port_outside_of_the_range_is_refused() {
    let yaml = service("web", "  type: NodePort\n").replace("port: 80", "port: 80, nodePort: 22");
    let joined = joined(&yaml);
    assert!(findings(&joined)[0].contains("error: spec.ports[0].nodePort is 22"), "{:?}", findings(&joined));
    assert_eq!(joined.cluster.services[0].ports[0].node_port, None);
}

#[test]
fn a_manifest_goes_before_what_was_given() {
    let before = joined(&service("a", "  type: NodePort\n"));
    let (address, number) = given(&before, "a");
    let taken = service("b", &format!("  type: NodePort\n  clusterIP: {address}\n"))
        .replace("port: 80", &format!("port: 80, nodePort: {number}"));
    let yaml = service("a", "  type: NodePort\n") + &taken;
    let after = joined_with(&yaml, &Ranges::default(), &before.allocations);
    assert_ne!(given(&after, "a").0, address);
    assert_ne!(given(&after, "a").1, number);
    assert_eq!(given(&after, "b"), (address, number));
    assert!(after.allocations.cluster_ips(&Name::from("default/b".to_owned())).is_empty());
}

#[test]
fn exhausted_ranges_are_errors_of_those_that_get_nothing() {
    let yaml: String = ["a", "b", "c"].map(|name| service(name, "  type: NodePort\n")).concat();
    let joined = joined_with(&yaml, &ranges(&["10.96.0.0/30"], 30000, 30001), &Allocations::default());
    let errors: Vec<_> = findings(&joined).into_iter().filter(|finding| finding.contains("error")).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("there is no IPv4 ClusterIP"), "{errors:?}");
    assert!(errors[1].contains("there is no node port left for port 80/TCP"), "{errors:?}");
    let cluster_ips: Vec<_> =
        joined.cluster.services.iter().flat_map(|service| &service.cluster_ips).collect();
    assert_eq!(cluster_ips.len(), 2);
}

#[test]
fn they_are_kept_as_json() {
    let joined = joined(&service("a", "  type: NodePort\n"));
    let (address, number) = given(&joined, "a");
    let json = serde_json::to_string(&joined.allocations).expect("JSON");
    let expected =
        format!(r#"{{"default/a":{{"clusterIPs":["{address}"],"nodePorts":{{"80/TCP":{number}}}}}}}"#);
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<Allocations>(&json).expect("Allocations"), joined.allocations);
}

/// The lines of a Service whose load balancer asks each node for its endpoints.
const LOCAL: &str = "  type: LoadBalancer\n  externalTrafficPolicy: Local\n";

fn health_check_port(joined: &Joined) -> Option<u16> {
    find(&joined.cluster, "web").health_check_port
}

#[test]
fn a_local_load_balancer_gets_a_port_for_its_health_check_and_keeps_it() {
    let yaml = service("web", LOCAL);
    let first = joined(&yaml);
    let number = health_check_port(&first).expect("a port");
    assert!((30000..=32767).contains(&number));
    let json = serde_json::to_string(&first.allocations).expect("JSON");
    assert!(json.contains(&format!(r#""healthCheckNodePort":{number}"#)), "{json}");
    let kept = serde_json::from_str(&json).expect("Allocations");

    // The older Service would have got that port.
    let others = ranges(&["10.96.0.0/24"], number, number);
    let rival = service("rival", "  type: NodePort\n").replace("{name: rival}", "{name: a}");
    let second = joined_with(&(yaml.clone() + &rival), &others, &kept);
    assert_eq!(health_check_port(&second), Some(number));
    assert!(findings(&second).iter().any(|line| line.contains("no node port left for port 80/TCP")));

    let elsewhere = ranges(&["10.96.0.0/24"], 20000, 20009);
    let moved = health_check_port(&joined_with(&yaml, &elsewhere, &kept)).expect("a port");
    assert!((20000..=20009).contains(&moved), "the range is another");
}

#[test]
fn only_who_needs_a_health_check_gets_a_port_for_it() {
    for (spec, expected) in [
        (format!("{LOCAL}  healthCheckNodePort: 31000\n"), Some(31000)),
        ("  type: LoadBalancer\n  externalTrafficPolicy: Cluster\n".to_owned(), None),
        ("  type: NodePort\n  externalTrafficPolicy: Local\n".to_owned(), None),
    ] {
        let joined = joined(&service("web", &spec));
        assert_eq!(health_check_port(&joined), expected, "{spec}");
    }
}

#[test]
fn ports_of_health_checks_are_node_ports() {
    let outside = joined(&service("web", &format!("{LOCAL}  healthCheckNodePort: 8080\n")));
    assert_eq!(health_check_port(&outside), None);
    assert!(
        findings(&outside)[0].contains("error: spec.healthCheckNodePort is 8080"),
        "{:?}",
        findings(&outside)
    );

    for (taken, free) in [(30000, 30001), (30001, 30000)] {
        let spec = format!("{LOCAL}  healthCheckNodePort: {taken}\n  allocateLoadBalancerNodePorts: false\n");
        let yaml = service("web", &spec) + &service("other", "  type: NodePort\n");
        let both = joined_with(&yaml, &ranges(&["10.96.0.0/24"], 30000, 30001), &Allocations::default());
        assert_eq!(find(&both.cluster, "other").ports[0].node_port, Some(free));
    }

    let none_left =
        joined_with(&service("web", LOCAL), &ranges(&["10.96.0.0/24"], 1, 1), &Allocations::default());
    assert_eq!(health_check_port(&none_left), None, "the Service's port goes first");
    assert!(findings(&none_left).iter().any(|line| line.contains("no node port left for the health check")));
}

/// The ClusterIP and the node port of a Service.
fn given(joined: &Joined, name: &str) -> (IpAddr, u16) {
    let service = find(&joined.cluster, name);
    (service.cluster_ips[0], service.ports[0].node_port.expect("a node port"))
}

fn all_given(joined: &Joined) -> BTreeMap<String, (IpAddr, u16)> {
    let services = joined.cluster.services.iter();
    services.map(|service| (service.name.name.clone(), given(joined, &service.name.name))).collect()
}

fn services(numbers: &HashSet<u8>) -> String {
    numbers.iter().map(|number| service(&format!("s{number}"), "  type: NodePort\n")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_is_given_once_in_range_and_kept_when_others_come_and_go(
        before in prop::collection::hash_set(any::<u8>(), 0..60),
        after in prop::collection::hash_set(any::<u8>(), 0..60),
    ) {
        let small = ranges(&["10.96.0.0/26"], 30000, 30063);
        let first = joined_with(&services(&before), &small, &Allocations::default());
        let second = joined_with(&services(&after), &small, &first.allocations);
        for joined in [&first, &second] {
            let given = all_given(joined);
            let addresses: HashSet<_> = given.values().map(|(address, _)| *address).collect();
            let numbers: HashSet<_> = given.values().map(|(_, number)| *number).collect();
            prop_assert_eq!(addresses.len(), given.len());
            prop_assert_eq!(numbers.len(), given.len());
            prop_assert!(addresses.iter().all(|address| small.holds(*address)));
            prop_assert!(numbers.iter().all(|number| small.node_ports.contains(*number)));
        }
        let (first, second) = (all_given(&first), all_given(&second));
        for (name, given) in &second {
            prop_assert!(first.get(name).is_none_or(|before| before == given), "{name} was given another");
        }
    }
}
