//! Traffic policies, topology, algorithms and weights.

use super::*;
use crate::compile::{Algorithm, TrafficPolicy, Weighted};
use TrafficPolicy::{Cluster, Local};

/// Two endpoints of this node and one of another.
fn placed() -> String {
    slice("web-1", "IPv4", &numbered(&["nodeName: node-1", "nodeName: node-2", "nodeName: node-1"]))
}

/// The last numbers of the endpoints of a list.
fn last_numbers(list: &[Weighted]) -> Vec<u8> {
    let last =
        |it: &Weighted| it.endpoint.ip().to_string().rsplit('.').next().and_then(|last| last.parse().ok());
    list.iter().map(|it| last(it).expect("an IPv4 address")).collect()
}

#[test]
fn each_policy_has_its_list_and_its_frontends() {
    let internal = "  internalTrafficPolicy: Local\n";
    let external = "  externalTrafficPolicy: Local\n";
    let external_ip = "  externalIPs: [203.0.113.9]\n";
    for (spec, policies, local) in [
        (String::new(), [Cluster, Cluster], &[][..]),
        (internal.to_owned(), [Local, Cluster], &[1, 3]),
        (format!("  type: NodePort\n{external}"), [Cluster, Local], &[1, 3]),
        (format!("  type: NodePort\n{internal}{external}"), [Local, Local], &[1, 3]),
        (format!("{external_ip}{external}"), [Cluster, Local], &[1, 3]),
        // Nobody outside can reach it.
        (external.to_owned(), [Cluster, Cluster], &[]),
        (
            format!("  type: LoadBalancer\n  allocateLoadBalancerNodePorts: false\n{external}"),
            [Cluster, Cluster],
            &[],
        ),
    ] {
        let yaml =
            service("web", &format!("  clusterIP: 10.96.0.10\n  ports: [{{port: 80}}]\n{spec}")) + &placed();
        let compiled = compiled(&yaml);
        let service = only_service(&compiled);
        assert_eq!([service.internal_policy, service.external_policy], policies, "{spec}");
        assert_eq!(last_numbers(&service.lists.cluster), [1, 2, 3], "{spec}");
        assert_eq!(last_numbers(&service.lists.local), local, "{spec}");
    }
}

#[test]
fn a_node_without_endpoints_knows_of_those_elsewhere() {
    let spec = "  clusterIP: 10.96.0.10\n  internalTrafficPolicy: Local\n  ports: [{port: 80}]\n";
    let yaml =
        service("web", spec) + &slice("web-1", "IPv4", &numbered(&["nodeName: node-2", "zone: zone-a"]));
    let compiled = compiled(&yaml);
    let lists = &only_service(&compiled).lists;
    assert_eq!((last_numbers(&lists.cluster), last_numbers(&lists.local)), (vec![1, 2], vec![]));
}

#[test]
fn hints_choose_by_the_zone_of_this_node() {
    let hints = ["a", "b", "a"].map(|zone| format!("hints: {{forZones: [{{name: zone-{zone}}}]}}"));
    let endpoints = numbered(&hints.each_ref().map(String::as_str));
    let yaml = service("web", "  clusterIP: 10.96.0.10\n  ports: [{port: 80}]\n")
        + &slice("web-1", "IPv4", &endpoints);
    let compiled_in = |nodes: &str| {
        let compiled = compiled(&(yaml.clone() + nodes));
        let lists = &only_service(&compiled).lists;
        (last_numbers(&lists.cluster), lists.draining.len())
    };
    assert_eq!(compiled_in(NODES), (vec![1, 3], 1), "the other one keeps its connections");
    assert_eq!(compiled_in(&NODES.replace("zone-a", "zone-b")), (vec![2], 2));
    assert_eq!(compiled_in(&NODES.replace("zone-a", "zone-c")), (vec![1, 2, 3], 0));
    assert_eq!(compiled_in(""), (vec![1, 2, 3], 0));
}

#[test]
fn pods_get_the_hints_of_their_services_traffic_distribution() {
    let pod = |last: u8, node: &str| {
        format!(
            "---\nkind: Pod\napiVersion: v1\nmetadata: {{name: web-{last}, labels: {{app: web}}}}\n\
             spec: {{nodeName: {node}, containers: [{{name: c}}]}}\nstatus: {{podIP: 10.0.0.{last}}}\n"
        )
    };
    let third = "---\nkind: Node\napiVersion: v1\nmetadata: {name: node-3, labels: {topology.kubernetes.io/zone: zone-a}}\n";
    let chosen = |distribution: &str, pods: &[String]| {
        let spec = format!(
            "  clusterIP: 10.96.0.10\n  ports: [{{port: 80}}]\n  selector: {{app: web}}\n  trafficDistribution: {distribution}\n"
        );
        let compiled = compiled(&(service("web", &spec) + &pods.concat() + NODES + third));
        last_numbers(&only_service(&compiled).lists.cluster)
    };
    let everywhere = [pod(1, "node-1"), pod(2, "node-2"), pod(3, "node-3")];
    assert_eq!(chosen("''", &everywhere), [1, 2, 3]);
    assert_eq!(chosen("PreferSameNode", &everywhere), [1]);
    assert_eq!(chosen("PreferSameZone", &everywhere), [1, 3]);
    assert_eq!(chosen("PreferClose", &everywhere), [1, 3]);
    assert_eq!(chosen("PreferSameNode", &everywhere[1..]), [3], "none on the node: those of its zone");
    assert_eq!(chosen("PreferSameNode", &everywhere[1..2]), [2], "none in the zone: all");
    let unknown = [everywhere.as_slice(), &[pod(4, "node-4")]].concat();
    assert_eq!(chosen("PreferSameZone", &unknown), [1, 2, 3, 4], "of one the zone is not known");
    assert_eq!(chosen("PreferSameNode", &unknown), [1]);
}

#[test]
fn an_annotation_names_the_algorithm() {
    for (name, expected) in [
        ("round-robin", Algorithm::RoundRobin),
        ("random", Algorithm::Random),
        ("maglev", Algorithm::Maglev),
        ("least-connections", Algorithm::LeastConnections),
        ("fastest", Algorithm::RoundRobin),
    ] {
        let yaml = service("web", "  clusterIP: 10.96.0.10\n  ports: [{port: 80}]\n")
            .replace("{name: web,", &format!("{{name: web, annotations: {{svc-lb.io/algorithm: {name}}},"));
        assert_eq!(only_service(&compiled(&yaml)).algorithm, expected, "{name}");
    }
    assert_eq!(
        only_service(&compiled(&service("web", "  ports: [{port: 80}]\n"))).algorithm,
        Algorithm::RoundRobin
    );
}

#[test]
fn endpoints_have_the_weights_of_their_pods() {
    let pod = |last: u8, weight: &str| {
        format!(
            "---\nkind: Pod\napiVersion: v1\nmetadata: {{name: web-{last}, labels: {{app: web}}, \
             annotations: {{svc-lb.io/weight: '{weight}'}}}}\nstatus: {{podIP: 10.0.0.{last}}}\n"
        )
    };
    let spec = "  clusterIP: 10.96.0.10\n  ports: [{port: 80}]\n  selector: {app: web}\n";
    let compiled =
        compiled(&(service("web", spec) + &pod(1, "3") + &pod(2, "100") + &pod(3, "0") + &pod(4, "101")));
    let weights: Vec<_> = only_service(&compiled).lists.cluster.iter().map(|it| it.weight).collect();
    assert_eq!(weights, [3, 100, 1, 1]);
}
