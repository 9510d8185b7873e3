//! Which interfaces are served: a pure function of what the kernel shows, of what must be reached, and
//! of the flags.

use super::{Backends, Facts, Hop, Interface, LinkLayer, Machine, NodePortPlaces, Reach, Role};
use crate::source::{Family, why_unusable};
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// The default of `--pod-interface`: how widespread CNI plugins name the host side of a pod's interface.
pub const DEFAULT_POD_INTERFACES: [&str; 6] = ["veth*", "cali*", "lxc*", "eni*", "azv*", "gke*"];

/// What the flags say about interfaces.
#[derive(Clone, Debug)]
pub struct Roles {
    uplinks: Vec<String>,
    pods: GlobSet,
}

impl Roles {
    /// `uplinks`: the names of `--uplink`; none means the default. `pods`: the globs of
    /// `--pod-interface`. Fails on a glob that is none, with a sentence.
    pub fn new(uplinks: &[String], pods: &[String]) -> Result<Self, globset::Error> {
        let mut globs = GlobSetBuilder::new();
        for pod in pods {
            globs.add(Glob::new(pod)?);
        }
        Ok(Self { uplinks: uplinks.to_vec(), pods: globs.build()? })
    }

    /// Those of `--uplink` that do not exist.
    pub fn missing_uplinks<'a>(&'a self, interfaces: &'a [Interface]) -> impl Iterator<Item = &'a str> {
        let exists = |name: &str| interfaces.iter().any(|interface| interface.name == name);
        self.uplinks.iter().map(String::as_str).filter(move |name| !exists(name))
    }

    /// Gives every interface its role.
    pub fn assign(&self, machine: &Machine, reach: &Reach, backends: &Backends) -> Facts {
        let ways = Ways::new(self, machine, reach, backends);
        let with_role = |interface: &Interface| {
            let role = self.role(interface, &ways);
            Interface { role, ..interface.clone() }
        };
        Facts { interfaces: machine.interfaces.iter().map(with_role).collect() }
    }

    fn role(&self, interface: &Interface, ways: &Ways) -> Role {
        let reason = if self.is_named(interface) {
            "named by --uplink".to_owned()
        } else if interface.link_layer == LinkLayer::Loopback {
            return Role::None("loopback".to_owned());
        } else if self.is_pod(interface) {
            "matches --pod-interface".to_owned()
        } else if !self.uplinks.is_empty() {
            return Role::None("not named by --uplink".to_owned());
        } else if let Some(reason) = ways.reasons.get(&interface.index) {
            reason.clone()
        } else {
            return Role::None(ways.why_not(interface));
        };
        let is_pod = self.is_pod(interface);
        match obstacle(interface, is_pod) {
            Some(obstacle) => Role::None(format!("{reason}, but {obstacle}")),
            None if is_pod => Role::Pod(reason),
            None => Role::Uplink(reason),
        }
    }

    fn is_named(&self, interface: &Interface) -> bool {
        self.uplinks.contains(&interface.name)
    }

    fn is_pod(&self, interface: &Interface) -> bool {
        !self.is_named(interface) && self.pods.is_match(&interface.name)
    }
}

/// Why an interface cannot be served at all.
fn obstacle(interface: &Interface, is_pod: bool) -> Option<&'static str> {
    match interface.link_layer {
        LinkLayer::Loopback => Some("it is a loopback interface"),
        _ if interface.kind == "dummy" => Some("nothing ever arrives at a dummy"),
        LinkLayer::Ethernet if interface.mac.is_none() => Some("it has no Ethernet address"),
        LinkLayer::None if is_pod => Some("its packets have no Ethernet header"),
        LinkLayer::Other => Some("its packets begin with neither an Ethernet nor an IP header"),
        LinkLayer::Ethernet | LinkLayer::None => None,
    }
}

/// Where routes and addresses lead.
struct Ways<'a> {
    machine: &'a Machine,
    /// Pod interfaces, and the bridges of which they are ports.
    to_pods: BTreeSet<u32>,
    /// Why an interface is an uplink, by its ifindex.
    reasons: BTreeMap<u32, String>,
}

impl<'a> Ways<'a> {
    fn new(roles: &Roles, machine: &'a Machine, reach: &Reach, backends: &Backends) -> Self {
        let pods = machine.interfaces.iter().filter(|interface| roles.is_pod(interface));
        let to_pods = pods.flat_map(|pod| [Some(pod.index), pod.master]).flatten().collect();
        let mut ways = Self { machine, to_pods, reasons: BTreeMap::new() };
        for &interface in machine.routes.defaults() {
            ways.give(interface, || "holds a default route".to_owned());
        }
        ways.add_node_port_addresses(&reach.node_ports);
        ways.add_nodes(reach);
        ways.add_backends(backends);
        if let NodePortPlaces::Primary(addresses) = &reach.node_ports {
            for family in [Family::V4, Family::V6] {
                if !addresses.iter().any(|address| Family::of(*address) == family) {
                    ways.add_first_address(family);
                }
            }
        }
        ways
    }

    /// The first reason stays.
    fn give(&mut self, interface: u32, reason: impl FnOnce() -> String) {
        self.reasons.entry(interface).or_insert_with(reason);
    }

    /// The interfaces whose own addresses make them uplinks: a bridge of pods has one for its pods.
    fn with_addresses(&self) -> impl Iterator<Item = (u32, IpAddr)> + use<'a> {
        let to_pods = self.to_pods.clone();
        let interfaces = self.machine.interfaces.iter();
        interfaces.filter(move |it| obstacle(it, false).is_none() && !to_pods.contains(&it.index)).flat_map(
            |it| {
                let addresses = it.addresses.iter().map(ipnet::IpNet::addr);
                addresses
                    .filter(|address| why_unusable(*address).is_none())
                    .map(|address| (it.index, address))
            },
        )
    }

    fn add_node_port_addresses(&mut self, places: &NodePortPlaces) {
        for (interface, address) in self.with_addresses() {
            let answers = match places {
                NodePortPlaces::Primary(addresses) => addresses.contains(&address),
                NodePortPlaces::Within(ranges) => ranges.iter().any(|range| range.contains(&address)),
            };
            if answers {
                self.give(interface, || format!("holds the NodePort address {address}"));
            }
        }
    }

    /// The interfaces over which other nodes and their pods are routed.
    fn add_nodes(&mut self, reach: &Reach) {
        let own: BTreeSet<IpAddr> = self
            .machine
            .interfaces
            .iter()
            .flat_map(|interface| interface.addresses.iter().map(ipnet::IpNet::addr))
            .collect();
        let routes = &self.machine.routes;
        let to = |address: IpAddr| if own.contains(&address) { &[] } else { routes.to(address) };
        for (name, prefixes) in &reach.nodes {
            for Hop { interface, .. } in prefixes.iter().flat_map(|prefix| to(prefix.addr())) {
                self.give(*interface, || format!("leads to the node {name}"));
            }
        }
    }

    /// The interfaces over which remote backends are routed.
    fn add_backends(&mut self, backends: &Backends) {
        for interface in backends.interfaces() {
            if !self.to_pods.contains(&interface) {
                self.give(interface, || "leads to backends".to_owned());
            }
        }
    }

    /// Where no uplink has an address of a family, and no Node says which is the node's, the first one
    /// that there is stands for the node.
    fn add_first_address(&mut self, family: Family) {
        let of_family = |(_, address): &(u32, IpAddr)| Family::of(*address) == family;
        let addresses: Vec<(u32, IpAddr)> = self.with_addresses().filter(of_family).collect();
        if addresses.iter().any(|(interface, _)| self.reasons.contains_key(interface)) {
            return;
        }
        if let Some(&(interface, address)) = addresses.first() {
            self.give(interface, || format!("holds the NodePort address {address}"));
        }
    }

    /// Why an interface is no uplink.
    fn why_not(&self, interface: &Interface) -> String {
        let master = self.machine.interfaces.iter().find(|it| Some(it.index) == interface.master);
        if let Some(master) = master {
            return format!("part of {}", master.name);
        }
        if self.to_pods.contains(&interface.index) {
            return "its ports are served".to_owned();
        }
        "no default route, no NodePort address, no way to other nodes or remote backends".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Route;

    /// An interface whose index is the number at the end of its name, else 2.
    fn interface(name: &str, kind: &str, addresses: &[&str]) -> Interface {
        let number = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        Interface {
            index: number.parse().unwrap_or(2),
            name: name.to_owned(),
            kind: kind.to_owned(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
            ..Interface::default()
        }
    }

    fn port(name: &str, kind: &str, master: u32) -> Interface {
        Interface { master: Some(master), ..interface(name, kind, &[]) }
    }

    /// Routes by an interface of this index, directly.
    fn routes(routes: &[(&str, u32)]) -> super::super::Routes {
        let route = |&(destination, interface): &(&str, u32)| Route {
            destination: destination.parse().expect("a prefix"),
            metric: 0,
            hops: vec![Hop { interface, gateway: None }],
        };
        routes.iter().map(route).collect()
    }

    fn roles(uplinks: &[&str]) -> Roles {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Roles::new(&owned(uplinks), &owned(&DEFAULT_POD_INTERFACES)).expect("valid globs")
    }

    fn assign(roles: &Roles, interfaces: &[Interface], ways: &[(&str, u32)], reach: &Reach) -> Vec<Role> {
        let machine = Machine { interfaces: interfaces.to_vec(), routes: routes(ways) };
        let backends = BACKENDS.map(|address| address.parse().expect("an address"));
        let backends = Backends::new(&machine, backends.into_iter().filter(|_| *reach != Reach::default()));
        roles
            .assign(&machine, reach, &backends)
            .interfaces
            .into_iter()
            .map(|interface| interface.role)
            .collect()
    }

    /// The backends of a cluster of which something is known.
    const BACKENDS: [&str; 2] = ["10.244.1.7", "10.9.9.9"];

    /// A cluster with this node's address, another node, and its pods.
    fn reach() -> Reach {
        let prefixes = |texts: &[&str]| texts.iter().map(|it| it.parse().expect("a prefix")).collect();
        let address = |text: &str| text.parse().expect("an address");
        Reach {
            node_ports: NodePortPlaces::Primary(["192.0.2.1", "2001:db8::1"].map(address).to_vec()),
            nodes: [("two".to_owned(), prefixes(&["192.0.2.2/32", "10.244.2.0/24"]))].into(),
        }
    }

    fn uplink(reason: &str) -> Role {
        Role::Uplink(reason.to_owned())
    }

    fn reason(role: &Role) -> &str {
        match role {
            Role::None(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_default_route_or_a_nodeport_address_makes_an_uplink_but_no_other_address() {
        let interfaces = [
            interface("eth2", "", &["192.0.2.1/24"]),
            interface("eth3", "", &[]),
            interface("eth4", "", &["198.51.100.1/24"]),
        ];
        let ways = [("0.0.0.0/0", 3), ("192.0.2.0/24", 2), ("198.51.100.0/24", 4)];
        let found = assign(&roles(&[]), &interfaces, &ways, &Reach { nodes: [].into(), ..reach() });
        assert_eq!(found[0], uplink("holds the NodePort address 192.0.2.1"));
        assert_eq!(found[1], uplink("holds a default route"));
        assert!(reason(&found[2]).contains("no NodePort address"));
        let ranges = vec!["198.51.100.0/24".parse().expect("a range")];
        let within = Reach { node_ports: NodePortPlaces::Within(ranges), ..Reach::default() };
        let found = assign(&roles(&[]), &interfaces, &ways, &within);
        assert_eq!(found[2], uplink("holds the NodePort address 198.51.100.1"));
        assert!(matches!(found[0], Role::None(_)));
    }

    #[test]
    fn the_ways_to_nodes_their_pods_and_remote_backends_are_uplinks() {
        let interfaces = [
            interface("eth2", "", &["192.0.2.1/24"]),
            interface("eth3", "", &[]),
            interface("vxlan4", "vxlan", &["10.244.1.0/32"]),
            Interface { link_layer: LinkLayer::None, mac: None, ..interface("wg5", "wireguard", &[]) },
            interface("eth6", "", &["203.0.113.1/24"]),
        ];
        let ways = [("192.0.2.2/32", 3), ("10.244.2.0/24", 4), ("10.9.0.0/16", 5), ("203.0.113.0/24", 6)];
        let found = assign(&roles(&[]), &interfaces, &ways, &reach());
        assert_eq!(found[1..3], [uplink("leads to the node two"), uplink("leads to the node two")]);
        assert_eq!(found[3], uplink("leads to backends"));
        assert!(matches!(found[4], Role::None(_)));
    }

    #[test]
    fn what_leads_to_this_nodes_pods_and_to_itself_is_no_uplink() {
        let interfaces = [
            interface("eth2", "", &["192.0.2.1/24"]),
            interface("br3", "bridge", &["10.244.1.1/24"]),
            port("veth4", "veth", 3),
            interface("eth5", "", &["10.9.9.9/24"]),
        ];
        let ways = [("0.0.0.0/0", 2), ("10.244.1.0/24", 3), ("10.9.9.0/24", 5)];
        let found = assign(&roles(&[]), &interfaces, &ways, &reach());
        assert_eq!(reason(&found[1]), "its ports are served");
        assert!(matches!(found[2], Role::Pod(_)));
        assert!(matches!(found[3], Role::None(_)), "a backend of the node itself");
        let routed = [("192.0.2.2/32", 3)];
        let found = assign(&roles(&[]), &interfaces, &routed, &reach());
        assert_eq!(found[1], uplink("leads to the node two"), "a bridge of pods and of nodes");
        let named =
            Reach { node_ports: NodePortPlaces::Within(vec!["10.0.0.0/8".parse().unwrap()]), ..reach() };
        assert_eq!(reason(&assign(&roles(&[]), &interfaces, &ways, &named)[1]), "its ports are served");
    }

    #[test]
    fn the_bridge_is_the_uplink_and_not_its_port() {
        let interfaces = [port("eth2", "", 3), interface("br3", "bridge", &["192.0.2.1/24"])];
        let found = assign(&roles(&[]), &interfaces, &[("0.0.0.0/0", 3)], &reach());
        assert_eq!(reason(&found[0]), "part of br3");
        assert_eq!(found[1], uplink("holds a default route"));
    }

    #[test]
    fn without_a_node_the_first_address_is_the_nodes_unless_an_uplink_has_one() {
        let interfaces = [
            interface("br2", "bridge", &["10.244.1.1/24"]),
            port("veth3", "veth", 2),
            interface("eth4", "", &["192.0.2.1/24", "fe80::1/64"]),
            interface("eth5", "", &["198.51.100.1/24", "2001:db8::5/64"]),
        ];
        let found = assign(&roles(&[]), &interfaces, &[], &Reach::default());
        assert_eq!(reason(&found[0]), "its ports are served");
        assert_eq!(found[2], uplink("holds the NodePort address 192.0.2.1"));
        assert_eq!(found[3], uplink("holds the NodePort address 2001:db8::5"));
        let found = assign(&roles(&[]), &interfaces, &[("0.0.0.0/0", 5)], &Reach::default());
        assert!(matches!(found[2], Role::None(_)));
        assert_eq!(found[3], uplink("holds a default route"));
    }

    #[test]
    fn a_pod_interface_is_no_uplink_whatever_it_holds() {
        for name in ["vethab12", "cali0123", "lxc_health9"] {
            let pod = interface(name, "veth", &["192.0.2.1/32"]);
            let ways = [("0.0.0.0/0", pod.index), ("192.0.2.2/32", pod.index)];
            let role = assign(&roles(&[]), &[pod], &ways, &reach()).remove(0);
            assert!(matches!(role, Role::Pod(_)), "{name}: {role:?}");
        }
    }

    #[test]
    fn named_uplinks_are_the_only_ones_and_win_over_globs() {
        let roles = roles(&["veth-out2"]);
        let interfaces = [
            interface("veth-out2", "veth", &[]),
            interface("veth-pod3", "veth", &[]),
            interface("eth4", "", &["192.0.2.1/24"]),
        ];
        let found = assign(&roles, &interfaces, &[("0.0.0.0/0", 4)], &reach());
        assert_eq!(found[0], uplink("named by --uplink"));
        assert!(matches!(found[1], Role::Pod(_)));
        assert_eq!(reason(&found[2]), "not named by --uplink");
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let only = |interface: Interface, uplinks: &[&str]| {
            assign(&roles(uplinks), &[interface], &[("0.0.0.0/0", 2)], &reach()).remove(0)
        };
        let why = |interface| reason(&only(interface, &[])).to_owned();
        let net = |kind| interface("net2", kind, &["192.0.2.1/24"]);
        for kind in ["", "veth", "bridge", "vxlan", "geneve", "gretap", "bond", "vlan"] {
            assert_eq!(only(net(kind), &[]), uplink("holds a default route"), "{kind}");
        }
        for kind in ["tun", "wireguard", "ipip", "sit", "ip6tnl", "gre", "vti", "xfrm"] {
            let tunnel = Interface { link_layer: LinkLayer::None, mac: None, ..net(kind) };
            assert_eq!(only(tunnel, &[]), uplink("holds a default route"), "{kind}");
        }
        assert!(why(net("dummy")).contains("nothing ever arrives"));
        assert!(why(Interface { mac: None, ..net("") }).contains("no Ethernet address"));
        assert!(why(Interface { link_layer: LinkLayer::Other, ..net("") }).contains("neither"));
        let pod = Interface { link_layer: LinkLayer::None, ..interface("veth2", "", &[]) };
        assert!(why(pod).contains("no Ethernet header"));
        let loopback = Interface { link_layer: LinkLayer::Loopback, ..net("") };
        assert_eq!(why(loopback.clone()), "loopback");
        assert_eq!(reason(&only(loopback, &["net2"])), "named by --uplink, but it is a loopback interface");
    }

    #[test]
    fn a_missing_uplink_is_noticed() {
        let roles = roles(&["eth0", "eth9"]);
        let interfaces = [interface("eth0", "", &[])];
        assert_eq!(roles.missing_uplinks(&interfaces).collect::<Vec<_>>(), ["eth9"]);
    }

    #[test]
    fn a_broken_glob_is_refused() {
        assert!(Roles::new(&[], &["veth[".to_owned()]).is_err());
    }
}
