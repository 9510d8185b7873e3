//! How many connections an endpoint gets.

use super::*;

/// The weights of the first Service's endpoints.
fn weights(yaml: &str) -> Vec<u8> {
    joined(yaml).cluster.services[0].ports[0].endpoints.iter().map(|endpoint| endpoint.weight).collect()
}

fn weighted_pod(name: &str, weight: &str) -> String {
    pod(name, "app: web", "podIP: 10.0.0.1")
        .replace("labels:", &format!("annotations: {{svc-lb.io/weight: '{weight}'}}, labels:"))
}

fn weighted(object: &str, weight: u8) -> String {
    object.replacen("metadata: {", &format!("metadata: {{annotations: {{svc-lb.io/weight: '{weight}'}}, "), 1)
}

#[test]
fn a_pods_weight_is_that_of_its_endpoints() {
    let with =
        |weight| weights(&(service("web", "  selector: {app: web}\n") + &weighted_pod("web-1", weight)));
    for (weight, expected) in [("1", 1), ("42", 42), ("100", 100)] {
        assert_eq!(with(weight), [expected]);
    }
}

#[test]
fn a_listed_endpoint_has_its_pods_weight_else_that_of_its_list() {
    let pods = weighted_pod("web-1", "7")
        + &weighted_pod("web-2", "9").replace("{name: web-2,", "{name: web-2, namespace: other,");
    // Of a Pod in the same namespace, in another, of none, and of something that only has the Pod's name.
    let targets = [
        ", targetRef: {kind: Pod, name: web-1}",
        ", targetRef: {kind: Pod, name: web-2, namespace: other}",
        "",
        ", targetRef: {kind: Node, name: web-1}",
    ];
    let listed = |field: &str| {
        let one = |(last, target): (u8, &str)| match field {
            "ip" => format!("{{ip: 10.0.0.{last}{target}}}"),
            _ => format!("{{addresses: [10.0.0.{last}]{target}}}"),
        };
        (1..).zip(targets).map(one).collect::<Vec<_>>().join(", ")
    };
    let endpoints = listed("addresses");
    let slice = slice(
        "web-1",
        "web",
        &format!("addressType: IPv4\nports: [{{port: 80}}]\nendpoints: [{endpoints}]\n"),
    );
    let old = old_endpoints(&format!("addresses: [{}], ports: [{{port: 80}}]", listed("ip")));
    for list in [slice, old] {
        let yaml = service("web", "") + &pods;
        assert_eq!(weights(&(yaml.clone() + &list)), [7, 9, 1, 1]);
        assert_eq!(weights(&(yaml + &weighted(&list, 3))), [7, 9, 3, 3]);
    }
}

#[test]
fn every_slice_has_a_weight_of_its_own() {
    let one = |name: &str, last: u8| {
        slice(
            name,
            "web",
            &format!(
                "addressType: IPv4\nports: [{{port: 80}}]\nendpoints: [{{addresses: [10.0.0.{last}]}}]\n"
            ),
        )
    };
    let yaml = service("web", "") + &weighted(&one("a", 1), 2) + &one("b", 2) + &weighted(&one("c", 3), 5);
    assert_eq!(weights(&yaml), [2, 1, 5]);
}
