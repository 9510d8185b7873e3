//! Endpoints computed from Pods.

use super::*;

const SELECTOR: &str = "  selector: {app: web, tier: front}\n";
const LABELS: &str = "app: web, tier: front, more: yes1";

#[test]
fn a_pod_needs_every_label_the_namespace_and_an_address() {
    let yaml = service("web", SELECTOR)
        + &pod("a", LABELS, "podIP: 10.0.0.1")
        + &pod("b", "app: web", "podIP: 10.0.0.2")
        + &pod("c", "app: web, tier: back", "podIP: 10.0.0.3")
        + &pod("d", LABELS, "podIP: 10.0.0.4").replace("{name: d,", "{name: d, namespace: other,")
        + &pod("e", LABELS, "phase: Pending")
        + &pod("f", LABELS, "podIP: 10.0.0.6").replace("labels:", "annotations:");
    assert_eq!(endpoints(&yaml), ["10.0.0.1 80"]);
}

#[test]
fn readiness_follows_the_ready_condition_if_there_are_conditions() {
    let status = |address, rest| format!("podIP: {address}{rest}");
    let yaml = service("web", SELECTOR)
        + &pod("a", LABELS, &status("10.0.0.1", ""))
        + &pod("b", LABELS, &status("10.0.0.2", ", conditions: [{type: Ready, status: 'True'}]"))
        + &pod("c", LABELS, &status("10.0.0.3", ", conditions: [{type: Ready, status: 'False'}]"))
        + &pod("d", LABELS, &status("10.0.0.4", ", conditions: [{type: Initialized, status: 'True'}]"))
        + &pod("e", LABELS, &status("10.0.0.5", ", phase: Succeeded"))
        + &pod("f", LABELS, &status("10.0.0.6", ", phase: Failed"))
        + &pod("g", LABELS, &status("10.0.0.7", ", phase: Running"))
            .replace("{name: g,", "{name: g, deletionTimestamp: '2026-01-01T00:00:00Z',");
    let rest =
        ["10.0.0.1 80", "10.0.0.2 80", "(10.0.0.3 80)", "(10.0.0.4 80)", "(10.0.0.7 80 serving terminating)"];
    assert_eq!(endpoints(&yaml), rest);
    let publish = yaml.replacen(SELECTOR, &(SELECTOR.to_owned() + "  publishNotReadyAddresses: true\n"), 1);
    let all = ["10.0.0.1 80", "10.0.0.2 80", "10.0.0.3 80", "10.0.0.4 80", "10.0.0.7 80 terminating"];
    assert_eq!(endpoints(&publish), all);
}

#[test]
fn target_ports_are_numbers_or_names_of_each_pod() {
    let yaml = service("web", SELECTOR)
        + &pod("a", LABELS, "podIP: 10.0.0.1")
        + &pod("b", LABELS, "podIP: 10.0.0.2").replace("8080", "9090")
        + &pod("c", LABELS, "podIP: 10.0.0.3").replace("http", "other")
        + &pod("d", LABELS, "podIP: 10.0.0.4").replace("8080", "8080, protocol: UDP")
        + &pod("e", LABELS, "podIP: 10.0.0.5")
            .replace("{containers:", "{containers: [], initContainers:")
            .replace("name: c,", "name: c, restartPolicy: Always,");
    let named = yaml.replacen("{port: 80}", "{port: 80, targetPort: http}", 1);
    assert_eq!(endpoints(&named), ["10.0.0.1 8080", "10.0.0.2 9090", "10.0.0.5 8080"]);
    let number = yaml.replacen("{port: 80}", "{port: 80, targetPort: 81}", 1);
    assert_eq!(endpoints(&number)[2], "10.0.0.3 81");
}

#[test]
fn a_pod_has_one_address_of_each_family() {
    let addresses = "podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}, {ip: 10.0.0.2}]";
    let yaml = service("web", SELECTOR) + &pod("a", LABELS, addresses);
    assert_eq!(endpoints(&yaml), ["10.0.0.1 80", "fd00::1 80"]);
}
