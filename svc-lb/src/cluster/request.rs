//! What a Service asks for, before addresses and node ports are given.

use super::{
    model::{Unserved, UnservedKind},
    policies::needs_health_check,
    ranges::Ranges,
};
use crate::source::{
    Family, Name, Object, Objects, Origin, Problem, Protocol, Remark, Service, ServicePort, parse_address,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::{net::IpAddr, sync::Arc};

/// A Service that svc-lb serves.
pub struct Request<'a> {
    pub name: &'a Arc<Name>,
    pub service: &'a Service,
    pub origin: &'a Origin,
    /// The families it is to be served in, the first first.
    pub families: Vec<Family>,
    /// The ClusterIPs that the manifest gives.
    pub cluster_ips: Vec<IpAddr>,
    /// The ports, of the protocols that are served.
    pub ports: Vec<RequestedPort<'a>>,
    /// Where load balancers ask for the endpoints of this node.
    pub health_check: NodePort,
}

/// A port of such a Service.
pub struct RequestedPort<'a> {
    /// Its place in `spec.ports`.
    pub index: usize,
    pub port: &'a ServicePort,
    pub protocol: Protocol,
    pub number: u16,
    pub node_port: NodePort,
}

/// What a Service has for a port of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePort {
    /// None.
    None,
    /// The one that the manifest gives.
    Given(u16),
    /// One that svc-lb is to give.
    Wanted,
}

impl NodePort {
    /// The port, where svc-lb gave this one, if any.
    pub fn or(self, given: Option<u16>) -> Option<u16> {
        match self {
            Self::None => None,
            Self::Given(number) => Some(number),
            Self::Wanted => given,
        }
    }
}

/// What all Services ask for, the older first.
#[derive(Default)]
pub struct Requests<'a> {
    /// Those that svc-lb serves.
    pub served: Vec<Request<'a>>,
    /// Those that have no address.
    pub unserved: Vec<Unserved>,
}

impl<'a> Requests<'a> {
    pub fn new(objects: &'a Objects, ranges: &Ranges, remarks: &mut Vec<Remark>) -> Self {
        let mut services: Vec<_> = objects.services.iter().collect();
        services.sort_by_key(|(name, service)| age(name, service));
        let mut requests = Self::default();
        for (name, service) in services {
            match Request::new(name, service, ranges, remarks) {
                Ok(request) => requests.served.push(request),
                Err(unserved) => requests.unserved.extend(unserved),
            }
        }
        requests
    }
}

/// What the order of Services depends on: the older ones come first, those that were never in a cluster last.
pub fn age<'a>(name: &'a Name, service: &'a Object<Service>) -> (bool, Option<&'a Time>, &'a Name) {
    let created = service.value.created.as_ref();
    (created.is_none(), created, name)
}

/// Why a Service has no address; `None` if it has one.
fn unserved_kind(service: &Service) -> Option<UnservedKind> {
    if service.type_.as_deref() == Some("ExternalName") {
        let name = service.external_name.as_deref().unwrap_or_default();
        return Some(UnservedKind::ExternalName(name.to_owned()));
    }
    service.is_headless.then_some(UnservedKind::Headless)
}

impl<'a> Request<'a> {
    /// What a Service asks for; else what is known of one that is not served, unless another proxy serves it.
    pub fn new(
        name: &'a Arc<Name>,
        object: &'a Object<Service>,
        ranges: &Ranges,
        remarks: &mut Vec<Remark>,
    ) -> Result<Self, Option<Unserved>> {
        let (service, origin) = (&*object.value, &object.origin);
        if service.is_of_other_proxy {
            return Err(None);
        }
        if let Some(kind) = unserved_kind(service) {
            return Err(Some(Unserved { name: Name::clone(name), kind }));
        }
        let mut problems = Vec::new();
        let cluster_ips = cluster_ips(service, ranges, &mut problems);
        let families = families(service, &cluster_ips, ranges, &mut problems);
        let ports = service.ports.iter().enumerate();
        let ports =
            ports.filter_map(|(index, port)| requested_port(service, index, port, ranges, &mut problems));
        let ports = ports.collect();
        let health_check = if needs_health_check(service) {
            let field = "spec.healthCheckNodePort".to_owned();
            node_port(field, service.health_check_node_port, true, ranges, &mut problems)
        } else {
            NodePort::None
        };
        remarks.extend(problems.into_iter().map(|problem| Remark { origin: origin.clone(), problem }));
        Ok(Self { name, service, origin, families, cluster_ips, ports, health_check })
    }
}

/// The ClusterIPs that the manifest gives. One outside of the ranges is served too: nobody else is asked for
/// it.
fn cluster_ips(service: &Service, ranges: &Ranges, problems: &mut Vec<Problem>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (field, text) in service.given_cluster_ips() {
        let Some(address) = parse_address(text) else { continue };
        if !ranges.holds(address) {
            let what = format!("{field} is {address}");
            let why = format!("that is no address of the service range {}", list(&ranges.cluster_ips));
            problems.push(if ranges.cluster_ips_are_known {
                Problem::error(
                    &field,
                    what,
                    why,
                    "give one of these, or leave it out to get one; until then it is served all the same",
                )
            } else {
                let mend =
                    "it is served all the same; give the cluster's range by --service-cluster-ip-range";
                Problem::warning(&field, what, why, mend)
            });
        }
        addresses.push(address);
    }
    addresses
}

/// The families that the manifest names, or means.
fn families(
    service: &Service,
    cluster_ips: &[IpAddr],
    ranges: &Ranges,
    problems: &mut Vec<Problem>,
) -> Vec<Family> {
    let named = service.ip_families.iter().filter_map(|name| Family::from_name(name));
    let mut families: Vec<_> = named.collect();
    for address in cluster_ips {
        if !families.contains(&Family::of(*address)) {
            families.push(Family::of(*address));
        }
    }
    if families.is_empty() {
        families.push(ranges.first_family());
    }
    let policy = service.ip_family_policy.as_deref();
    if let (&[only], Some("PreferDualStack" | "RequireDualStack")) = (&families[..], policy) {
        let other = if only == Family::V4 { Family::V6 } else { Family::V4 };
        if ranges.of(other).next().is_some() {
            families.push(other);
        } else if policy == Some("RequireDualStack") {
            problems.push(Problem::error(
                "spec.ipFamilyPolicy",
                "spec.ipFamilyPolicy is RequireDualStack",
                format!("there is no {other} range to give a ClusterIP from"),
                format!("give one by --service-cluster-ip-range; until then it is served in {only} only"),
            ));
        }
    }
    families
}

fn requested_port<'a>(
    service: &Service,
    index: usize,
    port: &'a ServicePort,
    ranges: &Ranges,
    problems: &mut Vec<Problem>,
) -> Option<RequestedPort<'a>> {
    let protocol = Protocol::from_field(port.protocol.as_deref())?;
    let number = u16::try_from(port.port).ok()?;
    let gets_one = match service.type_.as_deref() {
        Some("NodePort") => true,
        Some("LoadBalancer") => service.allocate_load_balancer_node_ports != Some(false),
        _ => false,
    };
    let field = format!("spec.ports[{index}].nodePort");
    let node_port = node_port(field, port.node_port, gets_one, ranges, problems);
    Some(RequestedPort { index, port, protocol, number, node_port })
}

/// A port of the nodes that a field gives, 0 standing for none.
fn node_port(
    field: String,
    given: Option<i32>,
    gets_one: bool,
    ranges: &Ranges,
    problems: &mut Vec<Problem>,
) -> NodePort {
    match given.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0) {
        Some(number) if ranges.node_ports.contains(number) => NodePort::Given(number),
        Some(number) => {
            // Taking it could take a port from the node's own services, or from its connections.
            let what = format!("{field} is {number}");
            let (first, last) = (ranges.node_ports.first, ranges.node_ports.last);
            problems.push(Problem::error(
                field,
                what,
                format!("node ports are from {first} to {last}"),
                "write one of these, or give another --service-node-port-range; until then it is not served",
            ));
            NodePort::None
        }
        None if gets_one => NodePort::Wanted,
        None => NodePort::None,
    }
}

/// Ranges, for a person.
pub(super) fn list(ranges: &[ipnet::IpNet]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
