//! Small manifests in, the model out.

use super::{Allocations, Cluster, Endpoint, Joined, Ranges, Service, join};
use crate::source::{Family, Name, read_text};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};
use svc_lb_common::snat::PortRange;

fn ranges(cluster_ips: &[&str], first: u16, last: u16) -> Ranges {
    let cluster_ips = cluster_ips.iter().map(|range| range.parse().expect("a range")).collect();
    Ranges { cluster_ips, node_ports: PortRange { first, last } }
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

/// The findings of the join, each from its first colon and space on.
fn findings(joined: &Joined) -> Vec<String> {
    joined.findings.iter().map(ToString::to_string).collect()
}

mod from_slices {
    use super::*;

    fn slice(name: &str, service: &str, rest: &str) -> String {
        format!(
            "---\nkind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n\
             metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {service}}}}}\n{rest}"
        )
    }

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
        let ports: Vec<Vec<_>> = ports
            .map(|port| port.endpoints.iter().map(|e| (e.address.to_string(), e.port)).collect())
            .collect();
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
        assert_eq!(
            endpoints(&(service("web", "") + &leaving.concat())),
            ["(10.0.0.1 80 serving terminating)"]
        );
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
}

fn pod(name: &str, labels: &str, status: &str) -> String {
    format!(
        "---\nkind: Pod\napiVersion: v1\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n\
         spec: {{containers: [{{name: c, ports: [{{name: http, containerPort: 8080}}]}}]}}\nstatus: {{{status}}}\n"
    )
}

mod from_pods {
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
        let rest = [
            "10.0.0.1 80",
            "10.0.0.2 80",
            "(10.0.0.3 80)",
            "(10.0.0.4 80)",
            "(10.0.0.7 80 serving terminating)",
        ];
        assert_eq!(endpoints(&yaml), rest);
        let publish =
            yaml.replacen(SELECTOR, &(SELECTOR.to_owned() + "  publishNotReadyAddresses: true\n"), 1);
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

mod families {
    use super::*;

    const DUAL: [&str; 2] = ["10.96.0.0/24", "fd00::/112"];

    /// The families and ClusterIPs of a Service with these further lines of its spec, and how many
    /// warnings and errors it causes.
    fn of(spec: &str, cluster_ip_ranges: &[&str]) -> (Vec<Family>, Vec<IpAddr>, usize) {
        let joined = joined_with(
            &service("web", spec),
            &ranges(cluster_ip_ranges, 30000, 32767),
            &Allocations::default(),
        );
        let service = &joined.cluster.services[0];
        let grave =
            joined.findings.iter().filter(|finding| finding.severity != crate::source::Severity::Info);
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
            ("  ipFamilies: [IPv6, IPv4]\n", &DUAL, vec![v6, v4]),
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
}

#[test]
fn services_that_are_not_ours_are_not_in_the_model() {
    let yaml = service("a", "  clusterIP: None\n")
        + &service("b", "  type: ExternalName\n  externalName: a.example\n")
        + &service("c", "")
            .replace("{name: c}", "{name: c, labels: {service.kubernetes.io/service-proxy-name: x}}")
        + &service("d", "");
    let reading = read_text("x", &yaml);
    let joined = join(&reading.objects, &Ranges::default(), &Allocations::default());
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

mod allocations {
    use super::*;

    #[test]
    fn node_ports_are_given_where_the_type_asks_for_them() {
        for (spec, expected) in [
            ("", 0),
            ("  type: NodePort\n", 1),
            ("  type: LoadBalancer\n", 1),
            ("  type: LoadBalancer\n  allocateLoadBalancerNodePorts: false\n", 0),
        ] {
            let reading = read_text("x", &service("web", spec));
            let joined = join(&reading.objects, &Ranges::default(), &Allocations::default());
            let ports = &joined.cluster.services[0].ports;
            assert_eq!(ports.iter().filter(|port| port.node_port.is_some()).count(), expected, "{spec}");
        }
    }

    #[test]
    fn a_node_port_outside_of_the_range_is_refused() {
        let yaml = service("web", "  type: NodePort\n").replace("port: 80", "port: 80, nodePort: 22");
        let joined = joined(&yaml);
        assert!(
            findings(&joined)[0].contains("error: spec.ports[0].nodePort is 22"),
            "{:?}",
            findings(&joined)
        );
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
        let errors: Vec<_> =
            findings(&joined).into_iter().filter(|finding| finding.contains("error")).collect();
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
}
