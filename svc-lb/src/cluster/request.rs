//! What a Service asks for, before addresses and node ports are given.

use super::ranges::Ranges;
use crate::source::{
    Family, Finding, Name, Object, Objects, Origin, Problem, Protocol, given_cluster_ips, is_headless,
    labels, parse_address,
};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use std::net::IpAddr;

/// A Service that svc-lb serves.
pub struct Request<'a> {
    pub name: &'a Name,
    pub spec: &'a ServiceSpec,
    pub origin: &'a Origin,
    /// The families it is to be served in, the first first.
    pub families: Vec<Family>,
    /// The ClusterIPs that the manifest gives.
    pub cluster_ips: Vec<IpAddr>,
    /// The ports, of the protocols that are served.
    pub ports: Vec<RequestedPort<'a>>,
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

/// What a port has for a node port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePort {
    /// None.
    None,
    /// The one that the manifest gives.
    Given(u16),
    /// One that svc-lb is to give.
    Wanted,
}

/// The requests of all Services that svc-lb serves, the older first.
pub fn requests<'a>(objects: &'a Objects, ranges: &Ranges, findings: &mut Vec<Finding>) -> Vec<Request<'a>> {
    let mut services: Vec<_> = objects.services.iter().collect();
    services.sort_by_key(|(name, service)| {
        let created = service.value.metadata.creation_timestamp.as_ref();
        (created.is_none(), created, *name)
    });
    services.into_iter().filter_map(|(name, service)| Request::new(name, service, ranges, findings)).collect()
}

impl<'a> Request<'a> {
    fn new(
        name: &'a Name,
        service: &'a Object<Service>,
        ranges: &Ranges,
        findings: &mut Vec<Finding>,
    ) -> Option<Self> {
        let spec = service.value.spec.as_ref()?;
        let not_ours = labels::has(&*service.value, labels::SERVICE_PROXY_NAME)
            || spec.type_.as_deref() == Some("ExternalName")
            || is_headless(spec);
        if not_ours {
            return None;
        }
        let mut problems = Vec::new();
        let cluster_ips = cluster_ips(spec, ranges, &mut problems);
        let families = families(spec, &cluster_ips, ranges, &mut problems);
        let ports = spec.ports.iter().flatten().enumerate();
        let ports =
            ports.filter_map(|(index, port)| requested_port(spec, index, port, ranges, &mut problems));
        let ports = ports.collect();
        findings.extend(problems.into_iter().map(|problem| service.origin.finding(problem)));
        Some(Self { name, spec, origin: &service.origin, families, cluster_ips, ports })
    }
}

/// The ClusterIPs that the manifest gives. One outside of the ranges is served too: it may come from a
/// cluster with other ranges.
fn cluster_ips(spec: &ServiceSpec, ranges: &Ranges, problems: &mut Vec<Problem>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (field, text) in given_cluster_ips(spec) {
        let Some(address) = parse_address(text) else { continue };
        if !ranges.holds(address) {
            problems.push(Problem::warning(
                &field,
                format!("{field} is {address}"),
                format!("that is no address of the service range {}", list(&ranges.cluster_ips)),
                "it is served all the same; give the cluster's range by --service-cluster-ip-range",
            ));
        }
        addresses.push(address);
    }
    addresses
}

/// The families that the manifest names, or means.
fn families(
    spec: &ServiceSpec,
    cluster_ips: &[IpAddr],
    ranges: &Ranges,
    problems: &mut Vec<Problem>,
) -> Vec<Family> {
    let named = spec.ip_families.iter().flatten().filter_map(|name| Family::from_name(name));
    let mut families: Vec<_> = named.collect();
    for address in cluster_ips {
        if !families.contains(&Family::of(*address)) {
            families.push(Family::of(*address));
        }
    }
    if families.is_empty() {
        families.push(ranges.first_family());
    }
    let policy = spec.ip_family_policy.as_deref();
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
    spec: &ServiceSpec,
    index: usize,
    port: &'a ServicePort,
    ranges: &Ranges,
    problems: &mut Vec<Problem>,
) -> Option<RequestedPort<'a>> {
    let protocol = Protocol::from_field(port.protocol.as_deref())?;
    let number = u16::try_from(port.port).ok()?;
    let given = port.node_port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0);
    let gets_one = match spec.type_.as_deref() {
        Some("NodePort") => true,
        Some("LoadBalancer") => spec.allocate_load_balancer_node_ports != Some(false),
        _ => false,
    };
    let node_port = match given {
        Some(node_port) if ranges.node_ports.contains(node_port) => NodePort::Given(node_port),
        Some(node_port) => {
            // Taking it could take a port from the node's own services, or from its connections.
            let field = format!("spec.ports[{index}].nodePort");
            let (first, last) = (ranges.node_ports.first, ranges.node_ports.last);
            problems.push(Problem::error(
                &field,
                format!("{field} is {node_port}"),
                format!("node ports are from {first} to {last}"),
                "write one of these, or give another --service-node-port-range; until then it is not served",
            ));
            NodePort::None
        }
        None if gets_one => NodePort::Wanted,
        None => NodePort::None,
    };
    Some(RequestedPort { index, port, protocol, number, node_port })
}

/// Ranges, for a person.
pub(super) fn list(ranges: &[ipnet::IpNet]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
