//! The main routing table, as far as it matters where a destination is.

use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

/// One way that a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// The ifindex by which a packet leaves.
    pub interface: u32,
    /// Whom it is sent to, of either family; `None`: to its destination itself.
    pub gateway: Option<IpAddr>,
}

/// A route as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub destination: IpNet,
    /// Of several routes to one destination that with the lowest number is taken (`RTA_PRIORITY`).
    pub metric: u32,
    /// The ways there: several of a multipath route, none of one that refuses (blackhole, unreachable).
    pub hops: Vec<Hop>,
}

/// By length of prefix, and by prefix: the lowest metric and its ways.
type Prefixes = BTreeMap<u8, HashMap<IpNet, (u32, Vec<Hop>)>>;

/// Routes by their destination: the longest prefix that holds an address decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    v4: Prefixes,
    v6: Prefixes,
    defaults: BTreeSet<u32>,
    gateways: BTreeSet<(u32, IpAddr)>,
}

impl Routes {
    /// The ways to an address; none where there is no route to it, or one that refuses.
    pub fn to(&self, address: IpAddr) -> &[Hop] {
        let prefixes = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let found = prefixes.iter().rev().find_map(|(&length, routes)| {
            let prefix = IpNet::new(address, length).ok()?.trunc();
            routes.get(&prefix)
        });
        found.map_or(&[], |(_, hops)| hops)
    }

    /// The interfaces over which a default route leads, whatever its metric.
    pub fn defaults(&self) -> &BTreeSet<u32> {
        &self.defaults
    }

    /// Every gateway of a route, with the interface at which it is, whatever the metric.
    pub fn gateways(&self) -> &BTreeSet<(u32, IpAddr)> {
        &self.gateways
    }

    fn add(&mut self, route: Route) {
        let Route { destination, metric, hops } = route;
        if destination.prefix_len() == 0 {
            self.defaults.extend(hops.iter().map(|hop| hop.interface));
        }
        self.gateways.extend(hops.iter().filter_map(|hop| Some((hop.interface, hop.gateway?))));
        let prefixes = if destination.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let of_length = prefixes.entry(destination.prefix_len()).or_default();
        let (best, ways) = of_length.entry(destination.trunc()).or_insert((metric, Vec::new()));
        if metric < *best {
            (*best, *ways) = (metric, hops);
        } else if metric == *best {
            // The kernel lists the ways of an IPv6 multipath route as several routes, too.
            ways.extend(hops);
        }
    }
}

impl FromIterator<Route> for Routes {
    fn from_iter<T: IntoIterator<Item = Route>>(routes: T) -> Self {
        let mut table = Self::default();
        for route in routes {
            table.add(route);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(interface: u32, gateway: Option<&str>) -> Hop {
        Hop { interface, gateway: gateway.map(|it| it.parse().expect("an address")) }
    }

    fn route(destination: &str, metric: u32, hops: &[Hop]) -> Route {
        Route { destination: destination.parse().expect("a prefix"), metric, hops: hops.to_vec() }
    }

    fn to(routes: &Routes, address: &str) -> Vec<Hop> {
        routes.to(address.parse().expect("an address")).to_vec()
    }

    #[test]
    fn the_longest_prefix_decides_in_each_family() {
        let routes: Routes = [
            route("0.0.0.0/0", 0, &[hop(2, Some("192.0.2.254"))]),
            route("10.0.0.0/8", 0, &[hop(3, None)]),
            route("10.1.0.0/16", 0, &[hop(4, None)]),
            route("10.1.2.3/32", 0, &[]),
            route("fd00::/64", 0, &[hop(5, Some("fe80::1"))]),
        ]
        .into_iter()
        .collect();
        assert_eq!(to(&routes, "10.1.2.4"), [hop(4, None)]);
        assert_eq!(to(&routes, "10.2.2.4"), [hop(3, None)]);
        assert_eq!(to(&routes, "198.51.100.1"), [hop(2, Some("192.0.2.254"))]);
        assert_eq!(to(&routes, "10.1.2.3"), [], "a route that refuses hides the others");
        assert_eq!(to(&routes, "fd00::7"), [hop(5, Some("fe80::1"))]);
        assert_eq!(to(&routes, "fd01::7"), [], "there is no default route of this family");
    }

    #[test]
    fn the_lowest_metric_counts_and_equal_ones_are_taken_together() {
        let routes: Routes = [
            route("fd00::/64", 1024, &[hop(2, Some("fe80::2"))]),
            route("fd00::/64", 512, &[hop(3, Some("fe80::3"))]),
            route("fd00::/64", 512, &[hop(4, Some("fe80::4"))]),
            route("fd00::/64", 600, &[hop(5, None)]),
        ]
        .into_iter()
        .collect();
        assert_eq!(to(&routes, "fd00::1"), [hop(3, Some("fe80::3")), hop(4, Some("fe80::4"))]);
        assert_eq!(routes.gateways().iter().map(|(interface, _)| *interface).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn default_routes_of_every_metric_count() {
        let routes: Routes = [
            route("0.0.0.0/0", 0, &[hop(2, None)]),
            route("0.0.0.0/0", 100, &[hop(3, None)]),
            route("::/0", 100, &[hop(4, None), hop(5, None)]),
            route("::/1", 100, &[hop(6, None)]),
        ]
        .into_iter()
        .collect();
        assert_eq!(routes.defaults().iter().copied().collect::<Vec<_>>(), [2, 3, 4, 5]);
    }
}
