//! What two Services cannot both have.

use super::*;
use crate::compile::Ownership;

const OLD: &str = "'2025-01-01T00:00:00Z'";
const YOUNG: &str = "'2026-01-01T00:00:00Z'";

#[test]
fn of_two_services_with_one_frontend_the_older_has_it() {
    let spec = "  type: NodePort\n  clusterIP: 10.96.0.10\n  ports: [{port: 80, nodePort: 30080}]\n";
    let yaml = dated_service("a", YOUNG, spec) + &dated_service("b", OLD, spec);
    let compiled = compiled(&yaml);
    assert!(lines(&compiled).iter().all(|line| line.contains("default/b")), "{:#?}", lines(&compiled));
    assert_eq!(
        findings(&compiled),
        [
            "x:7:14: error: the ClusterIP 10.96.0.10 is taken: it is that of default/b, which is older, or of one age and first by name; \
             give another, or leave it out to get one",
            "x:8:32: error: the node port 30080/TCP is taken: it is that of default/b, which is older, or of one age and first by name; \
             give another, or leave it out to get one",
        ]
    );
}

#[test]
fn a_node_port_is_taken_also_where_no_address_has_node_ports() {
    let spec = |last| {
        format!("  type: NodePort\n  clusterIP: 10.96.0.{last}\n  ports: [{{port: 80, nodePort: 30080}}]\n")
    };
    let compiled = compiled_with(&(service("a", &spec(10)) + &service("b", &spec(11))), "203.0.113.0/24");
    assert_eq!(compiled.findings().len(), 1);
    assert_eq!(lines(&compiled).len(), 2, "the ClusterIP of the second is served");
}

#[test]
fn one_node_port_may_be_of_two_protocols() {
    let yaml = service("a", "  type: NodePort\n  ports: [{port: 53, nodePort: 30053}]\n")
        + &service("b", "  type: NodePort\n  ports: [{port: 53, nodePort: 30053, protocol: UDP}]\n");
    assert!(compiled(&yaml).findings().is_empty());
}

#[test]
fn an_address_of_the_node_is_no_cluster_ip() {
    let compiled =
        compiled(&service("a", "  type: NodePort\n  clusterIP: 192.0.2.2\n  ports: [{port: 80}]\n"));
    assert!(findings(&compiled)[0].contains("it is an address of this node"), "{:?}", findings(&compiled));
    assert!(compiled.tables.addresses.values().all(|ownership| *ownership == Ownership::Node));
}

/// A Service at a load balancer's address and an external one, with these ports.
fn shared(name: &str, created: &str, last: u8, ports: &str) -> String {
    let spec = format!(
        "  type: LoadBalancer\n  allocateLoadBalancerNodePorts: false\n  clusterIP: 10.96.0.{last}\n  \
         externalIPs: [203.0.113.9]\n  ports: [{ports}]\n"
    );
    dated_service(name, created, &spec) + &ingress("{hostname: lb.example}, {ip: 203.0.113.7}")
}

#[test]
fn services_may_share_an_external_address_on_different_ports() {
    let yaml = shared("a", OLD, 1, "{port: 80}")
        + &shared("b", OLD, 2, "{port: 81}, {port: 80, protocol: UDP, name: x}");
    let yaml = yaml.replace("{port: 81}", "{port: 81, name: y}");
    let compiled = compiled(&yaml);
    assert_eq!(findings(&compiled), [] as [&str; 0]);
    assert_eq!(compiled.tables.frontends.len(), 9);
}

#[test]
fn on_one_port_of_an_external_address_the_older_service_is_served() {
    let yaml = shared("a", YOUNG, 1, "{port: 80}") + &shared("b", OLD, 2, "{port: 80}");
    let compiled = compiled(&yaml);
    assert_eq!(
        frontends(&compiled),
        [
            "ClusterIp 10.96.0.1:80/TCP default/a",
            "ClusterIp 10.96.0.2:80/TCP default/b",
            "LoadBalancer 203.0.113.7:80/TCP default/b",
            "ExternalIp 203.0.113.9:80/TCP default/b",
        ]
    );
    let why = "it is that of default/b, which is older, or of one age and first by name";
    let mend = "give another address or port; until then it is served for that one";
    assert_eq!(
        findings(&compiled),
        [
            format!("x:11:64: error: 203.0.113.7:80/TCP is taken: {why}; {mend}"),
            format!("x:9:17: error: 203.0.113.9:80/TCP is taken: {why}; {mend}"),
        ]
    );
}

#[test]
fn a_node_port_and_an_external_address_of_the_node_may_meet() {
    let node_port = "  type: NodePort\n  clusterIP: 10.96.0.1\n  ports: [{port: 80, nodePort: 30080}]\n";
    let external = "  clusterIP: 10.96.0.2\n  externalIPs: [192.0.2.1]\n  ports: [{port: 30080}]\n";
    let at_the_node = |ages: [&str; 2]| {
        let yaml = dated_service("a", ages[0], node_port) + &dated_service("b", ages[1], external);
        let compiled = compiled(&yaml);
        assert_eq!(compiled.findings().len(), 1, "{:?}", findings(&compiled));
        let field = compiled.findings()[0].field.clone();
        (frontends(&compiled).into_iter().find(|line| line.contains("192.0.2.1")), field)
    };
    let first = "NodePort 192.0.2.1:30080/TCP default/a".to_owned();
    assert_eq!(at_the_node([OLD, YOUNG]), (Some(first), "spec.externalIPs[0]".to_owned()));
    let second = "ExternalIp 192.0.2.1:30080/TCP default/b".to_owned();
    assert_eq!(at_the_node([YOUNG, OLD]), (Some(second), "spec.ports[0].nodePort".to_owned()));
}

#[test]
fn a_service_can_be_in_its_own_way() {
    let spec = "  type: NodePort\n  clusterIP: 10.96.0.1\n  externalIPs: [192.0.2.1]\n  \
                ports: [{name: a, port: 30081, nodePort: 30080}, {name: b, port: 80, nodePort: 30081}]\n";
    let compiled = compiled(&service("web", spec));
    assert_eq!(compiled.findings().len(), 1);
    assert!(findings(&compiled)[0].contains("the Service itself has it"), "{:?}", findings(&compiled));
}
