//! The addresses of this node, and what it must reach.

use super::*;
use crate::{
    compile::{NodeAddresses, node_addresses, reach},
    node::NodePortPlaces,
};

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

#[test]
fn the_nodes_internal_address_goes_before_those_of_uplinks() {
    let addresses = |yaml, facts: &Facts| node_addresses(&joined(yaml).cluster, facts, "node-1");
    let pair = |v4: Option<[u8; 4]>, v6: Option<&str>| NodeAddresses {
        v4: v4.map(Into::into),
        v6: v6.map(|address| address.parse().expect("an address")),
    };
    assert_eq!(addresses(WEB, &facts()), pair(Some([192, 0, 2, 1]), Some("2001:db8::1")));
    assert_eq!(addresses(NODES, &facts()), pair(Some([198, 51, 100, 1]), Some("2001:db8::1")));
    assert_eq!(addresses(NODES, &Facts::default()), pair(Some([198, 51, 100, 1]), None));
    assert_eq!(addresses(WEB, &Facts::default()), pair(None, None));
    let compiled = compiled_with(&(WEB.to_owned() + NODES), "primary");
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
    let cluster = joined(&(WEB.to_owned() + NODES + other)).cluster;
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
    let within = crate::compile::reach(&cluster, &options("198.51.100.0/24"));
    assert_eq!(within.node_ports, NodePortPlaces::Within(vec!["198.51.100.0/24".parse().expect("a range")]));
}
