//! Where endpoints are, and whom they are for.

use super::*;

/// The endpoints of the first Service's first port, each with its node and the hints for nodes and zones.
fn placed(yaml: &str) -> Vec<String> {
    let joined = joined(yaml);
    let print = |endpoint: &Endpoint| {
        let Endpoint { address, node, hints, .. } = endpoint;
        let node = node.as_deref().unwrap_or("?");
        format!("{address} {node} {:?} {:?}", hints.nodes(), hints.zones())
    };
    joined.cluster.services[0].ports[0].endpoints.iter().map(print).collect()
}

fn node(name: &str, zone: &str) -> String {
    format!(
        "---\nkind: Node\napiVersion: v1\nmetadata: {{name: {name}, labels: {{topology.kubernetes.io/zone: '{zone}'}}}}\n"
    )
}

/// A Pod of the Service `web` on a node.
fn pod_on(last: u8, node: &str) -> String {
    pod(&format!("web-{last}"), "app: web", &format!("podIP: 10.0.0.{last}"))
        .replace("spec: {", &format!("spec: {{nodeName: {node}, "))
}

#[test]
fn slices_tell_nodes_and_hints() {
    let yaml = service("web", "")
        + &slice(
            "web-1",
            "web",
            "addressType: IPv4\nports: [{port: 80}]\nendpoints:\n\
             - {addresses: [10.0.0.1], nodeName: a, zone: east, hints: {forNodes: [{name: a}], forZones: [{name: east}, {name: west}]}}\n\
             - {addresses: [10.0.0.2], zone: east}\n",
        );
    assert_eq!(placed(&yaml), [r#"10.0.0.1 a ["a"] ["east", "west"]"#, "10.0.0.2 ? [] []"]);
}

#[test]
fn endpoints_tell_nodes() {
    let subset = "addresses: [{ip: 10.0.0.1, nodeName: a}, {ip: 10.0.0.2}], ports: [{port: 80}]";
    let spec = "  trafficDistribution: PreferSameNode\n";
    assert_eq!(
        placed(&(service("web", spec) + &old_endpoints(subset))),
        ["10.0.0.1 a [] []", "10.0.0.2 ? [] []"]
    );
}

#[test]
fn pods_get_the_hints_that_the_controller_would_give() {
    let pods = pod_on(1, "a") + &pod_on(2, "nowhere") + &pod_on(3, "unlabelled");
    let nodes = node("a", "east") + &node("unlabelled", "");
    let with = |distribution: &str| {
        let spec = format!("  selector: {{app: web}}\n  trafficDistribution: {distribution}\n");
        placed(&(service("web", &spec) + &pods + &nodes))
    };
    assert_eq!(with("''"), ["10.0.0.1 a [] []", "10.0.0.2 nowhere [] []", "10.0.0.3 unlabelled [] []"]);
    let zones = [r#"10.0.0.1 a [] ["east"]"#, "10.0.0.2 nowhere [] []", "10.0.0.3 unlabelled [] []"];
    assert_eq!(with("PreferSameZone"), zones);
    assert_eq!(with("PreferClose"), zones);
    assert_eq!(
        with("PreferSameNode"),
        [
            r#"10.0.0.1 a ["a"] ["east"]"#,
            r#"10.0.0.2 nowhere ["nowhere"] []"#,
            r#"10.0.0.3 unlabelled ["unlabelled"] []"#,
        ]
    );
}

#[test]
fn only_endpoints_that_are_ready_get_hints() {
    let yaml = service("web", "  selector: {app: web}\n  trafficDistribution: PreferSameNode\n")
        + &node("a", "east")
        + &pod_on(1, "a")
            .replace("{name: web-1,", "{name: web-1, deletionTimestamp: '2026-01-01T00:00:00Z',");
    assert_eq!(placed(&yaml), ["10.0.0.1 a [] []"]);
}

#[test]
fn pods_in_the_network_of_their_node_count() {
    let yaml = service("web", "  selector: {app: web}\n")
        + &pod_on(1, "a").replace("spec: {", "spec: {hostNetwork: true, ");
    assert_eq!(placed(&yaml), ["10.0.0.1 a [] []"]);
}

#[test]
fn a_local_policy_without_a_known_node_is_warned_about() {
    let pods = pod("web-1", "app: web", "podIP: 10.0.0.1");
    let selector = "  selector: {app: web}\n";
    let warnings = |yaml: &str| -> Vec<String> {
        let joined = joined(yaml);
        let findings = joined.findings();
        let grave = findings.iter().filter(|finding| finding.severity != Severity::Info);
        grave.map(ToString::to_string).collect()
    };
    let internal = service("web", &format!("{selector}  internalTrafficPolicy: Local\n"));
    assert_eq!(
        warnings(&(internal.clone() + &pods)),
        [
            "x:8:26: warning: spec.internalTrafficPolicy is Local: no endpoint of the Service tells which Node it is on, so \
          connections are dropped on all of them; write spec.nodeName into its Pods, or nodeName into its endpoints"
        ]
    );
    let external = service("web", &format!("{selector}  type: NodePort\n  externalTrafficPolicy: Local\n"));
    assert!(warnings(&(external + &pods))[0].contains("spec.externalTrafficPolicy is Local"));
    assert_eq!(warnings(&(internal.clone() + &pod_on(1, "a"))), [] as [&str; 0]);
    assert_eq!(warnings(&internal), [] as [&str; 0], "there are no endpoints at all");
}
