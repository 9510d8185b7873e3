//! ClusterIPs, node ports and ports of health checks for Services whose manifests leave them out.

use super::{
    ranges::{Hosts, Ranges},
    request::{NodePort, Request, RequestedPort, list},
};
use crate::source::{Family, Name, Problem, Remark};
use fnv::FnvHasher;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    hash::Hasher,
    net::IpAddr,
};

/// The ClusterIPs and node ports that svc-lb gave. To be kept over restarts, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Allocations(BTreeMap<Name, Given>);

/// What one Service was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Given {
    /// At most one address of each family.
    #[serde(rename = "clusterIPs", skip_serializing_if = "Vec::is_empty")]
    cluster_ips: Vec<IpAddr>,
    /// By port and protocol, as in `8080/TCP`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    node_ports: BTreeMap<String, u16>,
    /// The port of the health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check_node_port: Option<u16>,
}

impl Allocations {
    /// The ClusterIPs that a Service was given.
    pub fn cluster_ips(&self, service: &Name) -> &[IpAddr] {
        self.0.get(service).map_or(&[], |given| &given.cluster_ips)
    }

    /// The port of the health check that a Service was given.
    pub(super) fn health_check_port(&self, service: &Name) -> Option<u16> {
        self.0.get(service)?.health_check_node_port
    }

    /// The node port that a Service's port was given.
    pub(super) fn node_port(&self, service: &Name, port: &RequestedPort<'_>) -> Option<u16> {
        self.0.get(service)?.node_ports.get(&key(port)).copied()
    }
}

/// Gives what is asked for. What manifests name is taken. Of the rest, a Service keeps what it had if it is
/// in range and free; then each gets, in the order of their names, the first free value after one that its
/// name's hash gives. So the result depends on nothing but the arguments, and a Service that comes or goes
/// hardly changes what the others get, even where nothing was kept.
pub fn allocate(
    requests: &[Request<'_>],
    ranges: &Ranges,
    previous: &Allocations,
    remarks: &mut Vec<Remark>,
) -> Allocations {
    let mut requests: Vec<_> = requests.iter().collect();
    requests.sort_unstable_by_key(|request| request.name);
    let mut allocator = Allocator::new(&requests, ranges);
    for request in &requests {
        allocator.keep(request, previous);
    }
    for request in &requests {
        let problems = allocator.give(request);
        let remark = |problem| Remark { origin: request.origin.clone(), problem };
        remarks.extend(problems.into_iter().map(remark));
    }
    allocator.given.retain(|_, given| *given != Given::default());
    Allocations(allocator.given)
}

/// What is taken, and what was given so far.
struct Allocator<'a> {
    ranges: &'a Ranges,
    cluster_ips: HashSet<IpAddr>,
    node_ports: HashSet<u16>,
    given: BTreeMap<Name, Given>,
}

impl<'a> Allocator<'a> {
    fn new(requests: &[&Request<'_>], ranges: &'a Ranges) -> Self {
        let ports = requests.iter().flat_map(|request| &request.ports).map(|port| port.node_port);
        let ports = ports.chain(requests.iter().map(|request| request.health_check));
        let named = |port| match port {
            NodePort::Given(number) => Some(number),
            NodePort::None | NodePort::Wanted => None,
        };
        Self {
            ranges,
            cluster_ips: requests.iter().flat_map(|request| &request.cluster_ips).copied().collect(),
            node_ports: ports.filter_map(named).collect(),
            given: BTreeMap::new(),
        }
    }

    /// Lets a Service keep what it had and still asks for.
    fn keep(&mut self, request: &Request<'_>, previous: &Allocations) {
        for family in wanted_families(request) {
            let before = previous.cluster_ips(request.name).iter();
            let before = before.copied().find(|address| Family::of(*address) == family);
            if let Some(address) = before.filter(|address| self.ranges.holds(*address))
                && self.cluster_ips.insert(address)
            {
                self.given_to(request).cluster_ips.push(address);
            }
        }
        for port in wanted_node_ports(request) {
            let before = previous.node_port(request.name, port);
            if let Some(number) = before.filter(|number| self.ranges.node_ports.contains(*number))
                && self.node_ports.insert(number)
            {
                self.given_to(request).node_ports.insert(key(port), number);
            }
        }
        if request.health_check == NodePort::Wanted {
            let before = previous.health_check_port(request.name);
            if let Some(number) = before.filter(|number| self.ranges.node_ports.contains(*number))
                && self.node_ports.insert(number)
            {
                self.given_to(request).health_check_node_port = Some(number);
            }
        }
    }

    /// Gives a Service what it still lacks. Tells what there was none left of.
    fn give(&mut self, request: &Request<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for family in wanted_families(request) {
            let has = |address: &IpAddr| Family::of(*address) == family;
            if self.given_to(request).cluster_ips.iter().any(has) {
                continue;
            }
            match self.free_cluster_ip(request.name, family) {
                Some(address) => self.given_to(request).cluster_ips.push(address),
                None => problems.push(Problem::error(
                    "spec.clusterIP",
                    format!("there is no {family} ClusterIP for the Service"),
                    format!("the service range {} has no free one", list(&self.ranges.cluster_ips)),
                    "give a larger --service-cluster-ip-range, or delete Services",
                )),
            }
        }
        for port in wanted_node_ports(request) {
            if self.given_to(request).node_ports.contains_key(&key(port)) {
                continue;
            }
            match self.free_node_port(request.name, &key(port)) {
                Some(number) => drop(self.given_to(request).node_ports.insert(key(port), number)),
                None => problems.push(no_node_port(
                    format!("spec.ports[{}].nodePort", port.index),
                    &format!("port {}", key(port)),
                )),
            }
        }
        let wants_health_check = request.health_check == NodePort::Wanted;
        if wants_health_check && self.given_to(request).health_check_node_port.is_none() {
            match self.free_node_port(request.name, "health check") {
                Some(number) => self.given_to(request).health_check_node_port = Some(number),
                None => {
                    problems.push(no_node_port("spec.healthCheckNodePort".to_owned(), "the health check"));
                }
            }
        }
        problems
    }

    fn given_to(&mut self, request: &Request<'_>) -> &mut Given {
        self.given.entry(Name::clone(request.name)).or_default()
    }

    /// Takes a free address.
    fn free_cluster_ip(&mut self, name: &Name, family: Family) -> Option<IpAddr> {
        let hash = hash(&format!("{name} {family}"));
        self.ranges.of(family).map(Hosts::of).find_map(|hosts| {
            let start = u128::from(hash).checked_rem(hosts.count)?;
            let after = (start..hosts.count).chain(0..start).map(|index| hosts.get(index));
            after.into_iter().find(|address| self.cluster_ips.insert(*address))
        })
    }

    /// Takes a free node port for something of a Service.
    fn free_node_port(&mut self, name: &Name, purpose: &str) -> Option<u16> {
        let range = self.ranges.node_ports;
        let count = u64::from(range.last - range.first) + 1;
        let start = range.first + (hash(&format!("{name} {purpose}")) % count) as u16;
        (start..=range.last).chain(range.first..start).find(|number| self.node_ports.insert(*number))
    }
}

fn no_node_port(field: String, purpose: &str) -> Problem {
    Problem::error(
        field,
        format!("there is no node port left for {purpose}"),
        "every one of the node port range is taken",
        "give a larger --service-node-port-range, or delete Services",
    )
}

/// The families in which a Service has no ClusterIP of its manifest.
fn wanted_families(request: &Request<'_>) -> impl Iterator<Item = Family> {
    let named = |family| request.cluster_ips.iter().any(|address| Family::of(*address) == family);
    request.families.iter().copied().filter(move |family| !named(*family))
}

/// The ports that lack a node port.
fn wanted_node_ports<'a>(request: &'a Request<'_>) -> impl Iterator<Item = &'a RequestedPort<'a>> {
    request.ports.iter().filter(|port| port.node_port == NodePort::Wanted)
}

/// What tells a port of a Service from the others, as in `8080/TCP`.
fn key(port: &RequestedPort<'_>) -> String {
    format!("{}/{}", port.number, port.protocol)
}

/// A hash that is the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(text.as_bytes());
    hasher.finish()
}
