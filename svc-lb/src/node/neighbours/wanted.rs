//! Which neighbours are kept resolved: a pure function of routes, roles and what must be reached.

use crate::node::{Backends, Facts, Interface, LinkLayer, Reach, Routes};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};

/// The most neighbours that are kept: half of what the kernel's tables hold by default
/// (`net.ipv4.neigh.default.gc_thresh3`). The others are resolved when first used.
const MOST: usize = 512;

/// A neighbour of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Neighbour {
    /// The ifindex of the link that it is on.
    pub interface: u32,
    /// Its address.
    pub address: IpAddr,
}

/// The neighbours to which svc-lb may send by an uplink: gateways, other nodes, remote backends, in this
/// order up to a limit. None on links that look nobody up.
pub fn wanted(routes: &Routes, facts: &Facts, reach: &Reach, backends: &Backends) -> BTreeSet<Neighbour> {
    let resolves = |it: &&Interface| it.is_uplink() && it.resolves && it.link_layer == LinkLayer::Ethernet;
    let links: BTreeSet<u32> = facts.interfaces.iter().filter(resolves).map(|it| it.index).collect();
    let own: BTreeSet<IpAddr> =
        facts.interfaces.iter().flat_map(|interface| interface.addresses.iter().map(IpNet::addr)).collect();
    let gateways = routes.gateways().iter().copied();
    let nodes =
        reach.nodes.values().flatten().filter(|prefix| prefix.prefix_len() == prefix.max_prefix_len());
    // Behind a gateway, it is the gateway that is the neighbour.
    let nodes = nodes.map(IpNet::addr).flat_map(|node| {
        let direct = routes.to(node).iter().filter(|hop| hop.gateway.is_none());
        direct.map(move |hop| (hop.interface, node))
    });
    let backends = backends.on_link().filter(|(interface, _)| links.contains(interface));
    let backends = backends.flat_map(|(interface, them)| them.map(move |address| (interface, address)));
    let mut found = BTreeSet::new();
    for (interface, address) in gateways.chain(nodes).chain(backends) {
        if found.len() == MOST {
            break;
        }
        if links.contains(&interface) && !own.contains(&address) {
            found.insert(Neighbour { interface, address });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Hop, Machine, Role, Route};

    fn uplink(index: u32) -> Interface {
        Interface {
            index,
            resolves: true,
            role: Role::Uplink(String::new()),
            mac: Some([2; 6]),
            ..Interface::default()
        }
    }

    /// A destination, and the interfaces and gateways by which it is reached.
    type Ways<'a> = (&'a str, &'a [(u32, Option<&'a str>)]);

    fn routes(routes: &[Ways<'_>]) -> Routes {
        let hop = |&(interface, gateway): &(u32, Option<&str>)| Hop {
            interface,
            gateway: gateway.map(|it| it.parse().expect("an address")),
        };
        let route = |(destination, hops): &Ways<'_>| Route {
            destination: destination.parse().expect("a prefix"),
            metric: 0,
            hops: hops.iter().map(hop).collect(),
        };
        routes.iter().map(route).collect()
    }

    /// Where other nodes and backends are.
    fn reach(nodes: &[&str], backends: &[&str]) -> (Reach, Vec<IpAddr>) {
        let nodes = nodes.iter().map(|it| it.parse().expect("a prefix")).collect();
        let backends = backends.iter().map(|it| it.parse().expect("an address")).collect();
        (Reach { nodes: [("two".to_owned(), nodes)].into(), ..Reach::default() }, backends)
    }

    fn found(
        routes: &Routes,
        interfaces: &[Interface],
        (reach, backends): &(Reach, Vec<IpAddr>),
    ) -> Vec<(u32, String)> {
        let facts = Facts { interfaces: interfaces.to_vec() };
        let machine = Machine { interfaces: interfaces.to_vec(), routes: routes.clone() };
        let backends = Backends::new(&machine, backends.iter().copied());
        let wanted = wanted(routes, &facts, reach, &backends);
        wanted.iter().map(|neighbour| (neighbour.interface, neighbour.address.to_string())).collect()
    }

    fn list(expected: &[(u32, &str)]) -> Vec<(u32, String)> {
        expected.iter().map(|&(interface, address)| (interface, address.to_owned())).collect()
    }

    #[test]
    fn gateways_and_what_is_on_the_link_are_kept() {
        let routes = routes(&[
            ("0.0.0.0/0", &[(2, Some("192.0.2.254"))]),
            ("192.0.2.0/24", &[(2, None)]),
            ("10.244.2.0/24", &[(2, Some("192.0.2.2"))]),
            ("fd00::/64", &[(2, Some("fe80::2"))]),
        ]);
        let reach = reach(&["192.0.2.2/32", "192.0.2.3/32", "10.244.2.0/24"], &["10.244.2.5", "192.0.2.77"]);
        let expected =
            [(2, "192.0.2.2"), (2, "192.0.2.3"), (2, "192.0.2.77"), (2, "192.0.2.254"), (2, "fe80::2")];
        assert_eq!(found(&routes, &[uplink(2)], &reach), list(&expected));
    }

    #[test]
    fn every_way_of_a_multipath_route_counts() {
        let routes = routes(&[
            ("10.0.0.0/8", &[(2, Some("192.0.2.1")), (3, Some("198.51.100.1"))]),
            ("172.16.0.0/12", &[(2, None), (3, None)]),
        ]);
        let expected = [(2, "172.16.0.9"), (2, "192.0.2.1"), (3, "172.16.0.9"), (3, "198.51.100.1")];
        assert_eq!(found(&routes, &[uplink(2), uplink(3)], &reach(&[], &["172.16.0.9"])), list(&expected));
    }

    #[test]
    fn an_ipv4_route_may_have_an_ipv6_gateway() {
        let routes = routes(&[("0.0.0.0/0", &[(2, Some("fe80::1"))])]);
        assert_eq!(found(&routes, &[uplink(2)], &reach(&[], &["10.0.0.1"])), list(&[(2, "fe80::1")]));
    }

    #[test]
    fn pods_the_node_itself_and_links_without_neighbours_are_left_out() {
        let routes = routes(&[
            ("10.244.1.5/32", &[(2, None)]),
            ("192.0.2.0/24", &[(3, None)]),
            ("10.1.0.0/16", &[(4, None)]),
            ("10.2.0.0/16", &[(5, Some("10.2.0.1"))]),
        ]);
        let interfaces = [
            Interface { role: Role::Pod(String::new()), ..uplink(2) },
            Interface { addresses: vec!["192.0.2.1/24".parse().expect("an address")], ..uplink(3) },
            Interface { link_layer: LinkLayer::None, mac: None, ..uplink(4) },
            Interface { resolves: false, ..uplink(5) },
        ];
        let reach = reach(&["10.1.0.1/32"], &["10.244.1.5", "192.0.2.1", "10.2.0.9", "192.0.2.9"]);
        assert_eq!(found(&routes, &interfaces, &reach), list(&[(3, "192.0.2.9")]));
    }

    #[test]
    fn gateways_come_first_where_there_are_too_many() {
        let routes = routes(&[("10.0.0.0/8", &[(2, None)]), ("0.0.0.0/0", &[(2, Some("192.0.2.1"))])]);
        let backends: Vec<String> = (0..600).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect();
        let backends: Vec<&str> = backends.iter().map(String::as_str).collect();
        let found = found(&routes, &[uplink(2)], &reach(&["10.255.0.1/32"], &backends));
        assert_eq!(found.len(), MOST);
        for kept in ["192.0.2.1", "10.255.0.1"] {
            assert!(found.contains(&(2, kept.to_owned())), "{kept}");
        }
    }
}
