//! Endpoints from EndpointSlices and Endpoints.

use super::*;

#[test]
fn ports_are_joined_by_name_and_protocol() {
    let yaml = "kind: Service\napiVersion: v1\nmetadata: {name: dns}\nspec:\n  ports:\n  \
                - {name: dns, port: 53, protocol: UDP}\n  - {name: dns-tcp, port: 53}\n"
        .to_owned()
        + &slice(
            "dns-1",
            "dns",
            "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1, 10.9.9.9]}]\n\
             ports: [{name: dns-tcp, port: 5353}, {name: dns, port: 5354, protocol: UDP}, {name: dns, port: 1}]\n",
        )
        + &slice(
            "dns-2",
            "dns",
            "addressType: IPv4\nendpoints: [{addresses: [10.0.0.2]}]\nports: [{name: dns, port: 99, protocol: UDP}]\n",
        );
    let joined = joined(&yaml);
    let ports = joined.cluster.services[0].ports.iter();
    let ports: Vec<Vec<_>> =
        ports.map(|port| port.endpoints.iter().map(|e| (e.address.to_string(), e.port)).collect()).collect();
    assert_eq!(
        ports,
        [
            vec![("10.0.0.1".to_owned(), 5354), ("10.0.0.2".to_owned(), 99)],
            vec![("10.0.0.1".to_owned(), 5353)]
        ]
    );
}

#[test]
fn absent_conditions_mean_ready_serving_and_not_terminating() {
    let rest = "addressType: IPv4\nports: [{port: 80}]\nendpoints:\n\
                - {addresses: [10.0.0.1]}\n\
                - {addresses: [10.0.0.2], conditions: {ready: false}}\n\
                - {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}\n\
                - {addresses: [10.0.0.4], conditions: {ready: false, serving: false, terminating: true}}\n";
    assert_eq!(
        endpoints(&(service("web", "") + &slice("web-1", "web", rest))),
        [
            "10.0.0.1 80",
            "(10.0.0.2 80 serving)",
            "(10.0.0.3 80 serving terminating)",
            "(10.0.0.4 80 terminating)"
        ]
    );
}

#[test]
fn duplicates_count_once_and_the_one_that_stays_wins() {
    let rest = |conditions: &str| {
        format!(
            "addressType: IPv4\nports: [{{port: 80}}]\nendpoints: [{{addresses: [10.0.0.1], conditions: {conditions}}}]\n"
        )
    };
    let yaml = service("web", "")
        + &slice("a", "web", &rest("{ready: false, terminating: true}"))
        + &slice("b", "web", &rest("{ready: true}"))
        + &slice("c", "web", &rest("{ready: false}"));
    assert_eq!(endpoints(&yaml), ["10.0.0.1 80"]);
    let leaving = [("a", false), ("b", true), ("c", false)].map(|(name, serving)| {
        let conditions = format!("{{ready: false, serving: {serving}, terminating: true}}");
        slice(name, "web", &rest(&conditions))
    });
    assert_eq!(endpoints(&(service("web", "") + &leaving.concat())), ["(10.0.0.1 80 serving terminating)"]);
}

#[test]
fn slices_of_others_headless_ones_names_and_ports_without_number_are_not_seen() {
    let good = "addressType: IPv4\nports: [{port: 80}]\nendpoints: [{addresses: [10.0.0.1]}]\n";
    let yaml = service("web", "")
        + &slice("a", "other", good)
        + &slice("b", "web", good).replace("{name: b,", "{name: b, namespace: other,")
        + &slice("c", "web, service.kubernetes.io/headless: \"\"", good)
        + &slice(
            "d",
            "web",
            "addressType: FQDN\nports: [{port: 80}]\nendpoints: [{addresses: [a.example]}]\n",
        )
        + &slice(
            "e",
            "web",
            "addressType: IPv4\nports: [{}, {port: 0}]\nendpoints: [{addresses: [10.0.0.9]}]\n",
        );
    assert_eq!(endpoints(&yaml), [] as [&str; 0]);
}

#[test]
fn slices_win_over_endpoints_and_those_over_pods() {
    let pods = pod("a", "app: web", "podIP: 10.0.0.3");
    let old = "---\nkind: Endpoints\napiVersion: v1\nmetadata: {name: web}\n\
               subsets: [{addresses: [{ip: 10.0.0.2}], notReadyAddresses: [{ip: 10.0.0.4}], ports: [{port: 81}]}]\n";
    let slices = slice(
        "web-1",
        "web",
        "addressType: IPv4\nports: [{port: 82}]\nendpoints: [{addresses: [10.0.0.1]}]\n",
    );
    let yaml = service("web", "  selector: {app: web}\n") + &pods;
    assert_eq!(endpoints(&yaml), ["10.0.0.3 80"]);
    let yaml = yaml + old;
    assert_eq!(endpoints(&yaml), ["10.0.0.2 81", "(10.0.0.4 81)"]);
    let yaml = yaml + &slices;
    assert_eq!(endpoints(&yaml), ["10.0.0.1 82"]);
}
