//! Where the endpoints of the cluster are, seen from this node.

use super::{Hop, Machine};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

/// The addresses of all endpoints, sorted by the ways that lead to them. One that comes or goes costs the same
/// however many there are; another routing table costs a look at each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backends {
    /// How many endpoints have an address.
    endpoints: HashMap<IpAddr, u32>,
    ways: BTreeMap<Vec<Hop>, Destinations>,
}

/// What one set of hops leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Destinations {
    count: usize,
    /// The addresses themselves, if one of the hops sends to them straight.
    on_link: BTreeSet<IpAddr>,
}

impl Backends {
    /// The addresses of endpoints, some of them maybe several times.
    pub fn new(machine: &Machine, endpoints: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut backends = Self::default();
        for address in endpoints {
            backends.add(machine, address);
        }
        backends
    }

    /// An endpoint has an address.
    pub fn add(&mut self, machine: &Machine, address: IpAddr) {
        let count = self.endpoints.entry(address).or_default();
        *count += 1;
        if *count == 1 {
            self.sort_in(machine, address);
        }
    }

    /// An endpoint has an address no more. The machine is as it was when it got it.
    pub fn remove(&mut self, machine: &Machine, address: IpAddr) {
        let Some(count) = self.endpoints.get_mut(&address) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.endpoints.remove(&address);
        let way = way(machine, address);
        if let Some(destinations) = self.ways.get_mut(way) {
            destinations.count -= 1;
            destinations.on_link.remove(&address);
            if destinations.count == 0 {
                self.ways.remove(way);
            }
        }
    }

    /// The machine is another: all ways may be.
    pub fn sort_anew(&mut self, machine: &Machine) {
        self.ways.clear();
        let addresses: Vec<IpAddr> = self.endpoints.keys().copied().collect();
        for address in addresses {
            self.sort_in(machine, address);
        }
    }

    fn sort_in(&mut self, machine: &Machine, address: IpAddr) {
        let way = way(machine, address);
        if !self.ways.contains_key(way) {
            self.ways.insert(way.to_vec(), Destinations::default());
        }
        if let Some(destinations) = self.ways.get_mut(way) {
            destinations.count += 1;
            if way.iter().any(|hop| hop.gateway.is_none()) {
                destinations.on_link.insert(address);
            }
        }
    }

    /// The interfaces that lead to them.
    pub fn interfaces(&self) -> impl Iterator<Item = u32> {
        self.ways.keys().flatten().map(|hop| hop.interface)
    }

    /// Those that are on a link itself, with its ifindex, by links and then by addresses.
    pub fn on_link(&self) -> impl Iterator<Item = (u32, impl Iterator<Item = IpAddr>)> {
        self.ways.iter().flat_map(|(way, destinations)| {
            let straight = way.iter().filter(|hop| hop.gateway.is_none());
            straight.map(|hop| (hop.interface, destinations.on_link.iter().copied()))
        })
    }
}

/// The ways to an address; none to those of the node itself.
fn way(machine: &Machine, address: IpAddr) -> &[Hop] {
    let own = || machine.interfaces.iter().flat_map(|it| it.addresses.iter().map(ipnet::IpNet::addr));
    if own().any(|own| own == address) { &[] } else { machine.routes.to(address) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Interface, Route};

    fn machine(gateway: &str) -> Machine {
        let route = |destination: &str, gateway: Option<&str>| Route {
            destination: destination.parse().expect("a prefix"),
            metric: 0,
            hops: vec![Hop { interface: 2, gateway: gateway.map(|it| it.parse().expect("an address")) }],
        };
        let addresses = vec!["10.0.0.1/24".parse().expect("an address")];
        Machine {
            interfaces: vec![Interface { index: 2, addresses, ..Interface::default() }],
            routes: [route("10.0.0.0/24", None), route("10.1.0.0/16", Some(gateway))].into_iter().collect(),
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_came_and_went_is_as_if_it_had_never_been() {
        let addresses = ["10.0.0.1", "10.0.0.2", "10.1.0.1", "10.1.0.1", "10.9.0.1"].map(address);
        let machine = machine("10.0.0.254");
        let all = Backends::new(&machine, addresses);
        assert_eq!(all.interfaces().collect::<Vec<_>>(), [2, 2]);
        let on_link: Vec<(u32, Vec<IpAddr>)> =
            all.on_link().map(|(link, them)| (link, them.collect())).collect();
        assert_eq!(on_link, [(2, vec![address("10.0.0.2")])], "the node itself is not its own neighbour");
        for gone in 0..addresses.len() {
            let mut fewer = all.clone();
            fewer.remove(&machine, addresses[gone]);
            let rest = addresses.iter().enumerate().filter(|(index, _)| *index != gone).map(|(_, it)| *it);
            assert_eq!(fewer, Backends::new(&machine, rest));
        }
    }

    #[test]
    fn another_machine_has_other_ways() {
        let addresses = ["10.0.0.2", "10.1.0.1"].map(address);
        let mut backends = Backends::new(&machine("10.0.0.254"), addresses);
        let other = machine("10.0.0.253");
        backends.sort_anew(&other);
        assert_eq!(backends, Backends::new(&other, addresses));
    }
}
