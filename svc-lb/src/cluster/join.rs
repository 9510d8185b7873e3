//! Objects → the model.

use super::{
    allocate::{Allocations, allocate},
    endpoints::{Source, Sources},
    external_addresses::{external_ips, load_balancer_ips},
    model::{Cluster, Node, Port, Service},
    policies::{affinity_timeout, external_policy, internal_policy, nowhere_local},
    ranges::Ranges,
    request::{Request, Requests},
    source_ranges::source_ranges,
};
use crate::source::{Finding, Object, Objects, annotations, labels, parse_address, parse_cidr};
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
    let Requests { served, unserved } = Requests::new(objects, ranges, &mut findings);
    let allocations = allocate(&served, ranges, previous, &mut findings);
    let sources = Sources::new(objects);
    let service = |request| service(request, &allocations, &sources.of(request), &mut findings);
    let services = served.iter().map(service).collect();
    let nodes = objects.nodes.iter().map(|(name, node)| (name.name.clone(), self::node(node))).collect();
    Joined { cluster: Cluster { services, unserved, nodes }, allocations, findings }
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
            node_port: port.node_port.or(allocations.node_port(request.name, port)),
            endpoints,
        }
    });
    let spec = request.spec;
    let service = Service {
        ports: ports.collect(),
        name: request.name.clone(),
        families: request.families.clone(),
        cluster_ips,
        load_balancer_ips: load_balancer_ips(request.object, spec),
        external_ips: external_ips(spec),
        source_ranges: source_ranges(spec),
        internal_policy: internal_policy(spec),
        external_policy: external_policy(spec),
        algorithm: annotations::algorithm(request.object),
        affinity_timeout: affinity_timeout(spec),
        health_check_port: request.health_check.or(allocations.health_check_port(request.name)),
        origin: request.origin.clone(),
    };
    findings.extend(nowhere_local(&service).map(|problem| service.origin.finding(problem)));
    service
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
        zone: labels::zone(&object.value).map(str::to_owned),
        pod_cidrs: pod_cidrs.filter_map(|range| parse_cidr(range)).collect(),
    }
}
