//! Small manifests in, tables out.

use super::{Compiled, Lists, NodeAddresses, Options, Ownership, Weighted, compile, node_addresses, reach};
use crate::{
    cluster::{Allocations, Joined, Ranges, join},
    node::{Facts, Interface, NodePortPlaces, Role},
    options::NodePortAddresses,
    source::read_text,
};
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// A node with an uplink, a pod interface and loopback.
fn facts() -> Facts {
    let uplink = || Role::Uplink(String::new());
    Facts {
        interfaces: vec![
            interface(1, "lo", Role::None(String::new()), &["127.0.0.1/8", "::1/128", "10.255.255.1/32"]),
            interface(2, "veth1", Role::Pod(String::new()), &["10.244.0.1/32"]),
            interface(3, "eth0", uplink(), &["169.254.7.7/16", "fe80::1/64", "192.0.2.1/24", "192.0.2.2/24"]),
            interface(4, "eth1", uplink(), &["198.51.100.1/24", "2001:db8::1/64"]),
        ],
    }
}

fn interface(index: u32, name: &str, role: Role, addresses: &[&str]) -> Interface {
    let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    Interface { index, name: name.to_owned(), addresses, role, ..Interface::default() }
}

fn joined(yaml: &str) -> Joined {
    let ranges = ["10.96.0.0/12", "fd00::/112"].map(|range| range.parse().expect("a range"));
    let ranges = Ranges { cluster_ips: ranges.to_vec(), ..Ranges::default() };
    join(&read_text("x", yaml).objects, &ranges, &Allocations::default())
}

fn compiled_with(yaml: &str, nodeport_addresses: &str) -> Compiled {
    let nodeport_addresses = nodeport_addresses.parse::<NodePortAddresses>().expect("addresses");
    let options = Options { node_name: "node-1".to_owned(), nodeport_addresses, ..Options::default() };
    compile(&joined(yaml).cluster, &facts(), &options)
}

/// Each frontend with its kind and the backends it leads to, in a line.
fn lines(compiled: &Compiled) -> Vec<String> {
    let line = |(frontend, target): (&super::Frontend, &super::Target)| {
        let lists = &compiled.tables.services[&target.service].lists;
        let backends: Vec<_> = lists.cluster.iter().map(|it| it.endpoint.to_string()).collect();
        format!("{:?} {frontend} {} → {}", target.kind, target.service, backends.join(" "))
    };
    compiled.tables.frontends.iter().map(line).collect()
}

fn findings(compiled: &Compiled) -> Vec<String> {
    compiled.findings.iter().map(ToString::to_string).collect()
}

/// A dual-stack NodePort Service with two ports, and its Pods.
const WEB: &str = "
kind: Service
apiVersion: v1
metadata: {name: web}
spec:
  type: NodePort
  clusterIPs: [10.96.0.10, 'fd00::10']
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080, nodePort: 30080}
  - {name: dns, port: 53, protocol: UDP, nodePort: 30053}
---
kind: Pod
apiVersion: v1
metadata: {name: web-2, labels: {app: web}}
status: {podIPs: [{ip: 10.244.0.12}, {ip: 'fd01::12'}]}
---
kind: Pod
apiVersion: v1
metadata: {name: web-1, labels: {app: web}}
status: {podIPs: [{ip: 10.244.0.11}]}
---
kind: Pod
apiVersion: v1
metadata: {name: web-3, labels: {app: web}}
status: {podIPs: [{ip: 10.244.0.13}], conditions: [{type: Ready, status: 'False'}]}
";

#[test]
fn a_service_becomes_its_frontends_and_ready_backends() {
    let compiled = compiled_with(WEB, "primary");
    assert_eq!(
        lines(&compiled),
        [
            "ClusterIp 10.96.0.10:53/UDP default/web:dns → 10.244.0.11:53 10.244.0.12:53",
            "ClusterIp 10.96.0.10:80/TCP default/web:http → 10.244.0.11:8080 10.244.0.12:8080",
            "NodePort 192.0.2.1:30053/UDP default/web:dns → 10.244.0.11:53 10.244.0.12:53",
            "NodePort 192.0.2.1:30080/TCP default/web:http → 10.244.0.11:8080 10.244.0.12:8080",
            "NodePort [2001:db8::1]:30053/UDP default/web:dns → [fd01::12]:53",
            "NodePort [2001:db8::1]:30080/TCP default/web:http → [fd01::12]:8080",
            "ClusterIp [fd00::10]:53/UDP default/web:dns → [fd01::12]:53",
            "ClusterIp [fd00::10]:80/TCP default/web:http → [fd01::12]:8080",
        ]
    );
    let addresses: Vec<_> = compiled
        .tables
        .addresses
        .iter()
        .map(|(address, ownership)| (address.to_string(), *ownership))
        .collect();
    assert_eq!(
        addresses,
        [
            ("10.96.0.10".to_owned(), Ownership::ClusterIp),
            ("192.0.2.1".to_owned(), Ownership::Node),
            ("2001:db8::1".to_owned(), Ownership::Node),
            ("fd00::10".to_owned(), Ownership::ClusterIp),
        ]
    );
    assert_eq!(compiled.tables.services.len(), 4);
    assert!(compiled.findings.is_empty());
}

/// The lists that a Service gets whose endpoints are 10.0.0.1 and so on, with these conditions.
fn lists_of(conditions: &[&str]) -> Lists {
    let endpoints: Vec<String> = (1..)
        .zip(conditions)
        .map(|(last, conditions)| format!("{{addresses: [10.0.0.{last}], conditions: {{{conditions}}}}}"))
        .collect();
    let yaml = service("web", "null", "  clusterIP: 10.96.0.10\n  ports: [{port: 80}]\n")
        + &format!(
            "---\nkind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n\
             metadata: {{name: web-1, labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\n\
             ports: [{{port: 80}}]\nendpoints: [{}]\n",
            endpoints.join(", ")
        );
    compiled_with(&yaml, "primary").tables.services.into_values().next().expect("a service").lists
}

/// Of the endpoints 10.0.0.1 and so on, those with these last numbers.
fn numbered<E: From<SocketAddr>, T: FromIterator<E>>(numbers: &[u8]) -> T {
    numbers.iter().map(|last| E::from(SocketAddr::from(([10, 0, 0, *last], 80)))).collect()
}

const READY: &str = "ready: true";
const LEAVING: &str = "ready: false, serving: true, terminating: true";
const LEFT: &str = "ready: false, serving: false, terminating: true";
const FAILING: &str = "ready: false, serving: false, terminating: false";

#[test]
fn an_endpoint_that_terminates_and_serves_drains() {
    let lists = lists_of(&[READY, LEAVING, LEFT, FAILING, READY]);
    assert_eq!(lists.cluster, numbered::<Weighted, Vec<_>>(&[1, 5]));
    assert_eq!(lists.draining, numbered::<SocketAddr, BTreeSet<_>>(&[2]));
}

#[test]
fn without_ready_endpoints_new_connections_get_those_that_terminate_and_serve() {
    let lists = lists_of(&[FAILING, LEAVING, LEFT, LEAVING]);
    assert_eq!(lists.cluster, numbered::<Weighted, Vec<_>>(&[2, 4]));
    assert_eq!(lists.draining, numbered::<SocketAddr, BTreeSet<_>>(&[]));
    assert_eq!(lists_of(&[FAILING, LEFT]), Lists::default());
}

#[test]
fn a_service_without_endpoints_has_frontends_all_the_same() {
    let compiled = compiled_with(&WEB.replace("app: web}}", "app: other}}"), "primary");
    assert_eq!(compiled.tables.frontends.len(), 8);
    assert!(compiled.tables.services.values().all(|service| service.lists.cluster.is_empty()));
}

/// The addresses of the node at which WEB's node port 30080 is served.
fn served_at(nodeport_addresses: &str) -> Vec<String> {
    let compiled = compiled_with(WEB, nodeport_addresses);
    let frontends = compiled.tables.frontends.keys().filter(|frontend| frontend.port == 30080);
    frontends.map(|frontend| frontend.address.to_string()).collect()
}

#[test]
fn nodeport_addresses_select_addresses_of_interfaces() {
    assert_eq!(served_at("primary"), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(served_at("192.0.2.0/24"), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(served_at("198.51.100.1/32,2001:db8::/32"), ["198.51.100.1", "2001:db8::1"]);
    assert_eq!(served_at("203.0.113.0/24"), [] as [&str; 0]);
}

#[test]
fn a_zero_prefix_selects_all_but_loopback_and_link_local_addresses() {
    let v4 = ["10.244.0.1", "10.255.255.1", "192.0.2.1", "192.0.2.2", "198.51.100.1"];
    assert_eq!(served_at("0.0.0.0/0"), v4);
    assert_eq!(served_at("::/0"), ["2001:db8::1"]);
}

const NODE: &str = "---
kind: Node
apiVersion: v1
metadata: {name: node-1}
status:
  addresses:
  - {type: ExternalIP, address: 203.0.113.1}
  - {type: InternalIP, address: 198.51.100.1}
---
kind: Node
apiVersion: v1
metadata: {name: node-2}
status: {addresses: [{type: InternalIP, address: 198.51.100.2}]}
";

#[test]
fn the_nodes_internal_address_goes_before_those_of_uplinks() {
    let addresses = |yaml, facts: &Facts| node_addresses(&joined(yaml).cluster, facts, "node-1");
    let pair = |v4: Option<[u8; 4]>, v6: Option<&str>| NodeAddresses {
        v4: v4.map(Into::into),
        v6: v6.map(|address| address.parse().expect("an address")),
    };
    assert_eq!(addresses(WEB, &facts()), pair(Some([192, 0, 2, 1]), Some("2001:db8::1")));
    assert_eq!(addresses(NODE, &facts()), pair(Some([198, 51, 100, 1]), Some("2001:db8::1")));
    assert_eq!(addresses(NODE, &Facts::default()), pair(Some([198, 51, 100, 1]), None));
    assert_eq!(addresses(WEB, &Facts::default()), pair(None, None));
    let compiled = compiled_with(&(WEB.to_owned() + NODE), "primary");
    assert!(lines(&compiled).iter().any(|line| line.starts_with("NodePort 198.51.100.1:30080/TCP")));
}

#[test]
fn other_nodes_their_pods_and_all_endpoints_must_be_reached() {
    let other = "---
kind: Node
apiVersion: v1
metadata: {name: node-3}
spec: {podCIDR: 10.244.3.0/24, podCIDRs: [10.244.3.7/24, 'fd00:3::/64']}
status:
  addresses:
  - {type: InternalIP, address: 198.51.100.3}
  - {type: ExternalIP, address: 203.0.113.3}
---
kind: Node
apiVersion: v1
metadata: {name: node-4}
spec: {podCIDR: 10.244.4.0/24}
";
    let cluster = joined(&(WEB.to_owned() + NODE + other)).cluster;
    let options = |nodeport_addresses: &str| Options {
        node_name: "node-1".to_owned(),
        nodeport_addresses: nodeport_addresses.parse().expect("addresses"),
        ..Options::default()
    };
    let reach = reach(&cluster, &options("primary"));
    let primary = NodePortPlaces::Primary(vec!["198.51.100.1".parse().expect("an address")]);
    assert_eq!(reach.node_ports, primary);
    let nodes: Vec<(&str, Vec<String>)> = reach
        .nodes
        .iter()
        .map(|(name, prefixes)| (name.as_str(), prefixes.iter().map(ToString::to_string).collect()))
        .collect();
    let prefixes = |list: &[&str]| list.iter().map(|&prefix| prefix.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        nodes,
        [
            ("node-2", prefixes(&["198.51.100.2/32"])),
            ("node-3", prefixes(&["198.51.100.3/32", "10.244.3.0/24", "fd00:3::/64"])),
            ("node-4", prefixes(&["10.244.4.0/24"])),
        ]
    );
    let endpoints =
        cluster.services.iter().flat_map(|service| &service.ports).flat_map(|port| &port.endpoints);
    assert!(!reach.backends.is_empty());
    assert!(endpoints.into_iter().all(|endpoint| reach.backends.contains(&endpoint.address)));
    let within = super::reach(&cluster, &options("198.51.100.0/24"));
    assert_eq!(within.node_ports, NodePortPlaces::Within(vec!["198.51.100.0/24".parse().expect("a range")]));
}

fn service(name: &str, created: &str, spec: &str) -> String {
    format!(
        "---\nkind: Service\napiVersion: v1\nmetadata: {{name: {name}, creationTimestamp: {created}}}\n\
         spec:\n  type: NodePort\n{spec}"
    )
}

#[test]
fn of_two_services_with_one_frontend_the_older_has_it() {
    let spec = "  clusterIP: 10.96.0.10\n  ports: [{port: 80, nodePort: 30080}]\n";
    let yaml = service("a", "'2026-01-01T00:00:00Z'", spec) + &service("b", "'2025-01-01T00:00:00Z'", spec);
    let compiled = compiled_with(&yaml, "primary");
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
    let only_node_port = "  clusterIP: 10.96.0.11\n  ports: [{port: 80, nodePort: 30080}]\n";
    let yaml = service("a", "null", spec) + &service("b", "null", only_node_port);
    let compiled = compiled_with(&yaml, "203.0.113.0/24");
    assert_eq!(compiled.findings.len(), 1, "a conflict is seen without an address too");
    assert_eq!(lines(&compiled).len(), 2, "the ClusterIP of the younger is served");
}

#[test]
fn one_node_port_may_be_of_two_protocols() {
    let yaml = service("a", "null", "  ports: [{port: 53, nodePort: 30053}]\n")
        + &service("b", "null", "  ports: [{port: 53, nodePort: 30053, protocol: UDP}]\n");
    assert!(compiled_with(&yaml, "primary").findings.is_empty());
}

#[test]
fn an_address_of_the_node_is_no_cluster_ip() {
    let yaml = service("a", "null", "  clusterIP: 192.0.2.2\n  ports: [{port: 80}]\n");
    let compiled = compiled_with(&yaml, "primary");
    assert!(findings(&compiled)[0].contains("it is an address of this node"), "{:?}", findings(&compiled));
    assert!(compiled.tables.addresses.values().all(|ownership| *ownership == Ownership::Node));
}

#[test]
fn other_protocols_and_types_are_left_out() {
    let yaml = service("a", "null", "  clusterIP: 10.96.0.10\n  ports: [{port: 80, protocol: SCTP}]\n");
    assert_eq!(compiled_with(&yaml, "primary").tables, super::Tables::default());
}

#[test]
fn the_example_is_served_as_it_stands() {
    let yaml = include_str!("../../../examples/hostname.yaml");
    assert_eq!(read_text("hostname.yaml", yaml).findings, []);
    let compiled = compiled_with(yaml, "primary");
    let backends = "default/hostname-service → 10.244.0.11:80 10.244.0.12:80 10.244.0.13:80";
    let lines = lines(&compiled);
    assert_eq!(lines[1], format!("NodePort 192.0.2.1:30163/TCP {backends}"));
    assert!(lines[0].starts_with("ClusterIp 10.") && lines[0].ends_with(&format!(":8080/TCP {backends}")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_order_of_documents_and_ports_does_not_matter(order in Just((0..24usize).collect::<Vec<_>>()).prop_shuffle()) {
        let document = |index: usize| match index % 4 {
            0 => service(&format!("s{index}"), "null", "  selector: {app: a}\n  ports: [{port: 80}]\n"),
            1 => service(&format!("s{index}"), "null", "  clusterIP: 10.96.0.1\n  ports: [{port: 80, nodePort: 30001}]\n"),
            2 => format!(
                "---\nkind: Pod\napiVersion: v1\nmetadata: {{name: p{index}, labels: {{app: a}}}}\nstatus: {{podIP: 10.244.0.{index}}}\n"
            ),
            _ => format!(
                "---\nkind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n\
                 metadata: {{name: e{index}, labels: {{kubernetes.io/service-name: s4}}}}\naddressType: IPv4\n\
                 ports: [{{port: 80}}]\nendpoints: [{{addresses: [10.0.0.{index}]}}, {{addresses: [10.0.0.9]}}]\n"
            ),
        };
        let in_order: String = (0..24).map(document).collect();
        let shuffled: String = order.into_iter().map(document).collect();
        let (first, second) = (compiled_with(&in_order, "primary"), compiled_with(&shuffled, "primary"));
        prop_assert_eq!(first.tables, second.tables);
        prop_assert_eq!(joined(&in_order).allocations, joined(&shuffled).allocations);
    }
}

#[test]
fn addresses_sort_by_number() {
    let yaml = WEB.replace("10.244.0.12", "10.244.0.9");
    let compiled = compiled_with(&yaml, "primary");
    let list = &compiled.tables.services.values().next().expect("a service").lists.cluster;
    let addresses: Vec<IpAddr> = list.iter().map(|it| it.endpoint.ip()).collect();
    assert!(addresses.is_sorted(), "{addresses:?}");
}
