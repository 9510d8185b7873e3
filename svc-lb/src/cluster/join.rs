//! Objects → the model.

use super::{
    allocate::{Allocations, allocate},
    endpoints::{Source, Sources},
    model::{Cluster, Node, Port, Service},
    ranges::Ranges,
    request::{NodePort, Request, RequestedPort, requests},
};
use crate::source::{Finding, Object, Objects, parse_address};
use ipnet::IpNet;
use k8s_openapi::api::core::v1 as api;

/// What [`join`] gives.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    /// The model.
    pub cluster: Cluster,
    /// What svc-lb gave to Services, to be kept for the next time.
    pub allocations: Allocations,
    /// What is wrong with how the objects fit together.
    pub findings: Vec<Finding>,
}

/// Joins the objects, and gives Services the ClusterIPs and node ports that their manifests leave out;
/// where possible those of `previous`.
pub fn join(objects: &Objects, ranges: &Ranges, previous: &Allocations) -> Joined {
    let mut findings = Vec::new();
    let requests = requests(objects, ranges, &mut findings);
    let allocations = allocate(&requests, ranges, previous, &mut findings);
    let sources = Sources::new(objects);
    let service = |request| service(request, &allocations, &sources.of(request), &mut findings);
    let services = requests.iter().map(service).collect();
    let nodes = objects.nodes.iter().map(|(name, node)| (name.name.clone(), self::node(node))).collect();
    Joined { cluster: Cluster { services, nodes }, allocations, findings }
}

fn service(
    request: &Request<'_>,
    allocations: &Allocations,
    source: &Source<'_>,
    findings: &mut Vec<Finding>,
) -> Service {
    let mut cluster_ips = request.cluster_ips.clone();
    cluster_ips.extend(allocations.cluster_ips(request.name));
    let ports = request.ports.iter().map(|port| {
        let endpoints = source.endpoints(port);
        if endpoints.is_empty() {
            findings.push(request.origin.finding(source.why_none(port)));
        }
        Port {
            index: port.index,
            name: port.port.name.clone().unwrap_or_default(),
            protocol: port.protocol,
            number: port.number,
            node_port: node_port(request, port, allocations),
            endpoints,
        }
    });
    Service {
        ports: ports.collect(),
        name: request.name.clone(),
        families: request.families.clone(),
        cluster_ips,
        origin: request.origin.clone(),
    }
}

fn node_port(request: &Request<'_>, port: &RequestedPort<'_>, allocations: &Allocations) -> Option<u16> {
    match port.node_port {
        NodePort::None => None,
        NodePort::Given(number) => Some(number),
        NodePort::Wanted => allocations.node_port(request.name, port),
    }
}

/// What is to be known of a Node. What does not parse has been reported.
fn node(object: &Object<api::Node>) -> Node {
    let addresses = object.value.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = addresses.filter(|address| address.type_ == "InternalIP");
    let spec = object.value.spec.iter();
    let pod_cidrs = spec.flat_map(|spec| match &spec.pod_cidrs {
        Some(ranges) if !ranges.is_empty() => ranges.as_slice(),
        _ => spec.pod_cidr.as_slice(),
    });
    Node {
        addresses: internal.filter_map(|address| parse_address(&address.address)).collect(),
        pod_cidrs: pod_cidrs
            .filter_map(|range| range.parse().ok())
            .map(|range: IpNet| range.trunc())
            .collect(),
    }
}
