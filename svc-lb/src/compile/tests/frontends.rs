//! Which addresses and ports are answered for.

use super::*;
use crate::{
    cluster::{Unserved, UnservedKind},
    compile::{Family, Ownership, Tables},
};
use std::collections::BTreeSet;

/// Who answers for what is not a frontend, by address.
fn ownership(compiled: &Compiled) -> Vec<(String, Ownership)> {
    let addresses = compiled.tables.addresses.iter();
    addresses.map(|(address, ownership)| (address.to_string(), *ownership)).collect()
}

fn owned(addresses: &[(&str, Ownership)]) -> Vec<(String, Ownership)> {
    addresses.iter().map(|(address, ownership)| ((*address).to_owned(), *ownership)).collect()
}

#[test]
fn a_service_becomes_its_frontends_and_ready_backends() {
    let compiled = compiled(WEB);
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
    let expected = owned(&[
        ("10.96.0.10", Ownership::ClusterIp),
        ("192.0.2.1", Ownership::Node),
        ("2001:db8::1", Ownership::Node),
        ("fd00::10", Ownership::ClusterIp),
    ]);
    assert_eq!(ownership(&compiled), expected);
    assert_eq!(compiled.tables.services.len(), 4);
    assert!(compiled.findings().is_empty());
}

#[test]
fn each_protocol_of_one_port_is_a_frontend_of_its_own() {
    let port =
        |(name, protocol)| format!("{{name: {name}, port: 80, protocol: {protocol}, nodePort: 30080}}");
    let ports = [("tcp", "TCP"), ("udp", "UDP"), ("sctp", "SCTP")].map(port);
    let spec = format!("  type: NodePort\n  clusterIP: 10.96.0.10\n  ports: [{}]\n", ports.join(", "));
    let compiled = compiled(&service("a", &spec));
    assert_eq!(findings(&compiled), [] as [&str; 0]);
    let frontends = frontends(&compiled);
    for place in ["ClusterIp 10.96.0.10:80", "NodePort 192.0.2.1:30080"] {
        let protocols: Vec<_> = frontends.iter().filter_map(|line| line.strip_prefix(place)).collect();
        assert_eq!(protocols, ["/TCP default/a:tcp", "/UDP default/a:udp", "/SCTP default/a:sctp"]);
    }
}

#[test]
fn a_service_without_endpoints_has_frontends_all_the_same() {
    let compiled = compiled(&WEB.replace("app: web}}", "app: other}}"));
    assert_eq!(compiled.tables.frontends.len(), 8);
    assert!(compiled.tables.services.values().all(|service| service.lists.cluster.is_empty()));
}

const LOAD_BALANCER: &str = "  type: LoadBalancer\n  clusterIP: 10.96.0.10\n  \
                             ports: [{name: a, port: 80, nodePort: 30080}, {name: b, port: 443, nodePort: 30443}]\n";

/// The frontends of the Service above with these addresses of its load balancer, its other frontends apart.
fn at_the_load_balancer(addresses: &str) -> Vec<String> {
    let compiled = compiled(&(service("web", LOAD_BALANCER) + &ingress(addresses)));
    frontends(&compiled).into_iter().filter(|line| line.starts_with("LoadBalancer")).collect()
}

#[test]
fn addresses_of_a_load_balancer_are_frontends_on_every_port() {
    assert_eq!(
        at_the_load_balancer("{ip: 203.0.113.7}, {ip: 203.0.113.8, ipMode: VIP}"),
        [
            "LoadBalancer 203.0.113.7:80/TCP default/web:a",
            "LoadBalancer 203.0.113.7:443/TCP default/web:b",
            "LoadBalancer 203.0.113.8:80/TCP default/web:a",
            "LoadBalancer 203.0.113.8:443/TCP default/web:b",
        ]
    );
}

#[test]
fn host_names_and_load_balancers_that_answer_for_themselves_are_left_alone() {
    let none: [&str; 0] = [];
    assert_eq!(at_the_load_balancer("{hostname: lb.example}, {ip: 203.0.113.7, ipMode: Proxy}"), none);
    assert_eq!(at_the_load_balancer("{ip: 203.0.113.7, ipMode: Other}"), none);
}

#[test]
fn addresses_of_a_load_balancer_are_those_of_the_services_families() {
    assert_eq!(at_the_load_balancer("{ip: '2001:db8:1::7'}"), [] as [&str; 0]);
    let dual = LOAD_BALANCER.replace("clusterIP: 10.96.0.10", "clusterIPs: [10.96.0.10, 'fd00::10']");
    let dual = format!("  ipFamilyPolicy: RequireDualStack\n{dual}");
    let addresses = ingress("{ip: '2001:db8:1::7'}, {ip: 203.0.113.7}");
    let compiled = compiled(&(service("web", &dual) + &addresses));
    let at = |address: &str| {
        let frontends = compiled.tables.frontends.iter();
        let at_address = frontends.filter(|(frontend, _)| frontend.address.to_string() == address);
        at_address.map(|(_, target)| target.service.family).collect::<BTreeSet<_>>()
    };
    assert_eq!(at("203.0.113.7"), BTreeSet::from([Family::V4]));
    assert_eq!(at("2001:db8:1::7"), BTreeSet::from([Family::V6]));
}

#[test]
fn only_a_service_of_type_load_balancer_has_its_addresses() {
    let spec = LOAD_BALANCER.replace("type: LoadBalancer", "type: NodePort");
    let compiled = compiled(&(service("web", &spec) + &ingress("{ip: 203.0.113.7}")));
    assert!(frontends(&compiled).iter().all(|line| !line.starts_with("LoadBalancer")));
}

#[test]
fn load_balancers_may_do_without_node_ports() {
    let none = "  type: LoadBalancer\n  allocateLoadBalancerNodePorts: false\n  clusterIP: 10.96.0.10\n";
    let with = |port: &str| {
        let yaml = service("web", &format!("{none}  ports: [{{port: 80{port}}}]\n"));
        frontends(&compiled(&(yaml + &ingress("{ip: 203.0.113.7}"))))
    };
    let without = ["ClusterIp 10.96.0.10:80/TCP default/web", "LoadBalancer 203.0.113.7:80/TCP default/web"];
    assert_eq!(with(""), without);
    assert_eq!(with(", nodePort: 0"), without);
    assert!(with(", nodePort: 30080").contains(&"NodePort 192.0.2.1:30080/TCP default/web".to_owned()));
}

#[test]
fn the_class_of_a_load_balancer_changes_nothing() {
    let yaml = service("web", LOAD_BALANCER) + &ingress("{ip: 203.0.113.7}");
    let classed =
        yaml.replace("  type: LoadBalancer", "  loadBalancerClass: example.org/a\n  type: LoadBalancer");
    assert_ne!(yaml, classed);
    assert_eq!(compiled(&classed).tables, compiled(&yaml).tables);
}

#[test]
fn external_ips_are_frontends_of_every_type() {
    let spec = |kind| {
        format!(
            "  type: {kind}\n  clusterIP: 10.96.0.10\n  externalIPs: [203.0.113.9, '2001:db8:1::9']\n  \
             ports: [{{port: 80}}]\n"
        )
    };
    for kind in ["ClusterIP", "NodePort", "LoadBalancer"] {
        let external: Vec<_> = frontends(&compiled(&service("web", &spec(kind))));
        let external: Vec<_> = external.iter().filter(|line| line.starts_with("ExternalIp")).collect();
        assert_eq!(external, ["ExternalIp 203.0.113.9:80/TCP default/web"], "{kind}");
    }
}

#[test]
fn an_address_in_two_lists_of_a_service_has_the_source_ranges_of_its_load_balancer() {
    let spec = LOAD_BALANCER.replace("  ports", "  externalIPs: [203.0.113.7]\n  ports");
    let compiled = compiled(&(service("web", &spec) + &ingress("{ip: 203.0.113.7}")));
    assert!(frontends(&compiled).contains(&"LoadBalancer 203.0.113.7:80/TCP default/web:a".to_owned()));
    assert_eq!(findings(&compiled), [] as [&str; 0]);
}

#[test]
fn the_node_answers_for_itself_at_its_own_addresses() {
    let spec = "  type: LoadBalancer\n  allocateLoadBalancerNodePorts: false\n  clusterIP: 10.96.0.10\n  \
                externalIPs: [192.0.2.2, 203.0.113.9, 198.51.100.7]\n  ports: [{port: 80}]\n";
    let node = "---\nkind: Node\napiVersion: v1\nmetadata: {name: node-1}\n\
                status: {addresses: [{type: InternalIP, address: 198.51.100.7}]}\n";
    let yaml = service("web", spec) + &ingress("{ip: 10.255.255.1}, {ip: 203.0.113.7}") + node;
    let expected = owned(&[
        ("10.96.0.10", Ownership::ClusterIp),
        ("10.255.255.1", Ownership::Node),
        ("192.0.2.2", Ownership::Node),
        ("198.51.100.7", Ownership::Node),
        ("203.0.113.7", Ownership::External),
        ("203.0.113.9", Ownership::External),
    ]);
    assert_eq!(ownership(&compiled(&yaml)), expected);
}

#[test]
fn an_address_for_everyone_is_no_less_so_as_a_cluster_ip_of_another() {
    let a = service("a", "  clusterIP: 10.96.0.10\n  ports: [{port: 80}]\n");
    let b = service("b", "  clusterIP: 10.96.0.11\n  externalIPs: [10.96.0.10]\n  ports: [{port: 81}]\n");
    let expected = owned(&[("10.96.0.10", Ownership::External), ("10.96.0.11", Ownership::ClusterIp)]);
    for yaml in [a.clone() + &b, b + &a.replace("name: a", "name: z")] {
        let compiled = compiled(&yaml);
        assert_eq!(ownership(&compiled), expected);
        assert_eq!(compiled.tables.frontends.len(), 3);
    }
}

#[test]
fn addresses_have_one_form() {
    let spec = "  type: LoadBalancer\n  allocateLoadBalancerNodePorts: false\n  clusterIP: 010.096.0.10\n  \
                externalIPs: ['::ffff:203.0.113.9']\n  ports: [{port: 80}]\n";
    let compiled = compiled(&(service("web", spec) + &ingress("{ip: 203.000.113.007}, {ip: 0.0.0.0}")));
    assert_eq!(
        frontends(&compiled),
        [
            "ClusterIp 10.96.0.10:80/TCP default/web",
            "LoadBalancer 203.0.113.7:80/TCP default/web",
            "ExternalIp 203.0.113.9:80/TCP default/web",
        ]
    );
}

#[test]
fn services_without_an_address_are_known_and_not_served() {
    let rest = "  externalIPs: [203.0.113.9]\n  ports: [{port: 80}]\n";
    let yaml = service(
        "a",
        &format!("  type: ExternalName\n  externalName: a.example\n  clusterIP: 10.96.0.10\n{rest}"),
    ) + &service("b", &format!("  clusterIP: None\n{rest}"))
        + &service("c", &format!("  clusterIP: 10.96.0.11\n{rest}"))
            .replace("{name: c,", "{name: c, labels: {service.kubernetes.io/service-proxy-name: ''},");
    let compiled = compiled(&yaml);
    assert_eq!(compiled.tables, Tables::default());
    let unserved = |name: &str, kind| Unserved { name: format!("default/{name}").into(), kind };
    let external_name = UnservedKind::ExternalName("a.example".to_owned());
    assert_eq!(compiled.unserved, [unserved("a", external_name), unserved("b", UnservedKind::Headless)]);
}

#[test]
fn sources_inside_the_cluster_are_told() {
    let cluster_cidrs = ["10.244.1.7/16", "fd01::/64"].map(|range| range.parse().expect("a range")).to_vec();
    let options = Options { cluster_cidrs, ..Options::default() };
    let tables = compile(&joined("").cluster, &Facts::default(), &options).tables;
    let ranges: Vec<_> = tables.cluster_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["10.244.0.0/16", "fd01::/64"]);
}

#[test]
fn the_example_is_served_as_it_stands() {
    let yaml = include_str!("../../../../examples/hostname.yaml");
    assert_eq!(read_text("hostname.yaml", yaml).findings, []);
    let backends = "default/hostname-service → 10.244.0.11:80 10.244.0.12:80 10.244.0.13:80";
    let lines = lines(&compiled(yaml));
    assert_eq!(lines[1], format!("NodePort 192.0.2.1:30163/TCP {backends}"));
    assert!(lines[0].starts_with("ClusterIp 10.") && lines[0].ends_with(&format!(":8080/TCP {backends}")));
}
