//! Small manifests in, the model out.

mod allocations;
mod families;
mod from_pods;
mod from_slices;
mod placement;
mod weights;

use super::{Allocations, Cluster, Endpoint, Joined, Ranges, Service, join};
use crate::source::{Family, Name, Severity, read_text};
use std::net::IpAddr;
use svc_lb_common::snat::PortRange;

fn ranges(cluster_ips: &[&str], first: u16, last: u16) -> Ranges {
    let cluster_ips: Vec<_> = cluster_ips.iter().map(|range| range.parse().expect("a range")).collect();
    Ranges::given(&cluster_ips, PortRange { first, last })
}

/// A Service with one port 80 and these further lines of its spec.
fn service(name: &str, spec: &str) -> String {
    format!(
        "---\nkind: Service\napiVersion: v1\nmetadata: {{name: {name}}}\nspec:\n  ports: [{{port: 80}}]\n{spec}"
    )
}

/// Joins manifests of which none is left out.
#[track_caller]
fn joined_with(yaml: &str, ranges: &Ranges, previous: &Allocations) -> Joined {
    let reading = read_text("x", yaml);
    let refused: Vec<_> = reading.findings.iter().filter(|finding| finding.refuses).collect();
    assert!(refused.is_empty(), "the manifests of the test: {refused:?}");
    join(&reading.objects, ranges, previous)
}

#[track_caller]
fn joined(yaml: &str) -> Joined {
    joined_with(yaml, &Ranges::default(), &Allocations::default())
}

fn find<'a>(cluster: &'a Cluster, name: &str) -> &'a Service {
    cluster.services.iter().find(|service| service.name.name == name).expect("the Service")
}

/// The endpoints of the first Service's first port: those that are not ready in brackets, with the other
/// conditions that they have.
#[track_caller]
fn endpoints(yaml: &str) -> Vec<String> {
    let joined = joined(yaml);
    let print = |endpoint: &Endpoint| {
        let Endpoint { address, port, ready, serving, terminating, .. } = endpoint;
        let terminating = if *terminating { " terminating" } else { "" };
        let serving = if *serving { " serving" } else { "" };
        if *ready {
            format!("{address} {port}{terminating}")
        } else {
            format!("({address} {port}{serving}{terminating})")
        }
    };
    joined.cluster.services[0].ports[0].endpoints.iter().map(print).collect()
}

/// The findings of the join.
fn findings(joined: &Joined) -> Vec<String> {
    joined.findings().iter().map(ToString::to_string).collect()
}

/// A slice of a Service, with these lines.
fn slice(name: &str, service: &str, rest: &str) -> String {
    format!(
        "---\nkind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n\
         metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {service}}}}}\n{rest}"
    )
}

/// Endpoints of the Service `web`, with this subset.
fn old_endpoints(subset: &str) -> String {
    format!("---\nkind: Endpoints\napiVersion: v1\nmetadata: {{name: web}}\nsubsets: [{{{subset}}}]\n")
}

/// A Pod with a port named `http`.
fn pod(name: &str, labels: &str, status: &str) -> String {
    format!(
        "---\nkind: Pod\napiVersion: v1\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n\
         spec: {{containers: [{{name: c, ports: [{{name: http, containerPort: 8080}}]}}]}}\nstatus: {{{status}}}\n"
    )
}

#[test]
fn a_port_without_endpoints_says_why() {
    let cases = [
        (
            service("web", ""),
            "6:11: note: port 80 has no endpoints, so connections are refused: the Service has neither",
        ),
        (service("web", "  selector: {app: wbe}\n"), "no Pod with an address has the labels app=wbe"),
        (
            service("web", "  selector: {app: web}\n").replace("port: 80", "port: 80, targetPort: htpp"),
            "none of its Pods has a container port of the name in targetPort",
        ),
    ];
    for (yaml, expected) in cases {
        let joined = joined(&(yaml + &pod("a", "app: web", "podIP: 10.0.0.1")));
        assert!(findings(&joined)[0].contains(expected), "{:?}", findings(&joined));
    }
}

#[test]
fn services_that_are_not_ours_are_not_in_the_model() {
    let yaml = service("a", "  clusterIP: None\n")
        + &service("b", "  type: ExternalName\n  externalName: a.example\n")
        + &service("c", "")
            .replace("{name: c}", "{name: c, labels: {service.kubernetes.io/service-proxy-name: x}}")
        + &service("d", "");
    let joined = joined(&yaml);
    let names: Vec<_> = joined.cluster.services.iter().map(|service| service.name.to_string()).collect();
    assert_eq!(names, ["default/d"]);
}

#[test]
fn older_services_come_first_and_undated_ones_last() {
    let dated = |name: &str, year| {
        let created = format!("{{name: {name}, creationTimestamp: '{year}-01-01T00:00:00Z'}}");
        service(name, "").replace(&format!("{{name: {name}}}"), &created)
    };
    let yaml =
        service("a", "") + &dated("b", 2026) + &dated("c", 2025) + &dated("d", 2025) + &service("aa", "");
    let joined = joined(&yaml);
    let names: Vec<_> = joined.cluster.services.iter().map(|service| service.name.name.as_str()).collect();
    assert_eq!(names, ["c", "d", "b", "a", "aa"]);
}
