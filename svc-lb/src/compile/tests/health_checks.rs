//! What load balancers are told of this node.

use super::*;
use crate::compile::HealthCheck;

/// A Service with two ports, and endpoints of both ports: two ready ones here, one that terminates, one elsewhere.
fn manifests(spec: &str) -> String {
    let endpoints = numbered(&[
        "nodeName: node-1",
        "nodeName: node-1",
        "nodeName: node-1, conditions: {ready: false, serving: true, terminating: true}",
        "nodeName: node-2",
    ]);
    let ports = "  clusterIP: 10.96.0.10\n  ports: [{name: a, port: 80}, {name: b, port: 81}]\n";
    service("web", &format!("{ports}{spec}"))
        + &slice("web-1", "IPv4", &endpoints)
            .replace("{port: 80}", "{name: a, port: 80}, {name: b, port: 81}")
}

const LOCAL: &str = "  type: LoadBalancer\n  externalTrafficPolicy: Local\n";

#[test]
fn a_local_load_balancer_is_told_the_ready_endpoints_of_this_node() {
    let checks = compiled(&manifests(&format!("{LOCAL}  healthCheckNodePort: 32000\n"))).health_checks;
    let expected = HealthCheck { service: "default/web".to_owned().into(), port: 32000, local_endpoints: 2 };
    assert_eq!(checks, [expected]);
    assert_eq!(
        compiled(&manifests(LOCAL)).health_checks.len(),
        1,
        "it gets a port where the manifest gives none"
    );
}

#[test]
fn an_endpoint_counts_once_for_both_families() {
    let spec = format!("{LOCAL}  healthCheckNodePort: 32000\n  ipFamilyPolicy: PreferDualStack\n");
    let v6 = slice("web-2", "IPv6", &["{addresses: ['fd01::1'], nodeName: node-1}".to_owned()]);
    let yaml = manifests(&spec) + &v6.replace("{port: 80}", "{name: a, port: 80}");
    assert_eq!(compiled(&yaml).health_checks[0].local_endpoints, 2);
}

#[test]
fn other_services_have_no_health_check() {
    for spec in [
        "  type: LoadBalancer\n  healthCheckNodePort: 32000\n",
        "  type: NodePort\n  externalTrafficPolicy: Local\n",
        "  externalTrafficPolicy: Local\n  externalIPs: [203.0.113.9]\n",
    ] {
        assert_eq!(compiled(&manifests(spec)).health_checks, [], "{spec}");
    }
}

#[test]
fn a_health_check_does_not_share_its_port() {
    let yaml = service("a", "  type: NodePort\n  ports: [{port: 80, nodePort: 32000}]\n")
        + &manifests(&format!("{LOCAL}  healthCheckNodePort: 32000\n"));
    let compiled = compiled(&yaml);
    assert_eq!(compiled.health_checks, []);
    let findings = compiled.findings();
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding.field, "spec.healthCheckNodePort");
    assert!(finding.why.contains("default/a"), "{finding}");
}

#[test]
fn the_addresses_that_answer_are_those_of_node_ports() {
    let addresses = |nodeport_addresses| {
        let addresses = compiled_with("", nodeport_addresses).nodeport_addresses.into_iter();
        addresses.map(|address| address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(addresses("primary"), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(addresses("192.0.2.0/24"), ["192.0.2.1", "192.0.2.2"]);
}
