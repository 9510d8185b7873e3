//! Objects → the model.

use super::{
    allocate::{Allocations, allocate},
    endpoints::{Source, Sources},
    external_addresses::{external_ips, load_balancer_ips},
    model::{Cluster, Node, Port, Service},
    policies::{affinity_timeout, external_policy, internal_policy, nowhere_local},
    ranges::Ranges,
    request::{Request, Requests, age},
    source_ranges::source_ranges,
};
use crate::source::{
    Finding, Name, Object, Objects, Origin, Problem, Remark, labels, parse_address, parse_cidr,
};
use k8s_openapi::api::core::v1 as api;
use std::{collections::BTreeSet, mem, sync::Arc};

/// What [`join`] gives.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    /// The model.
    pub cluster: Cluster,
    /// What svc-lb gave to Services, to be kept for the next time.
    pub allocations: Allocations,
    /// What is wrong with what Services ask for; what is wrong with the endpoints of one, it knows itself.
    remarks: Vec<Remark>,
}

/// A Service of the model whose endpoints are others now.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Its place among the Services of the model.
    pub place: usize,
    /// As it was.
    pub before: Service,
}

impl Joined {
    /// What is wrong with how the objects fit together: the objects, and the problem of each.
    pub fn remarks(&self) -> impl Iterator<Item = (&Origin, &Problem)> {
        let of_services = self.cluster.services.iter();
        let of_services = of_services.flat_map(|it| it.problems.iter().map(|problem| (&it.origin, problem)));
        self.remarks.iter().map(|it| (&it.origin, &it.problem)).chain(of_services)
    }

    /// The same, with their places.
    pub fn findings(&self) -> Vec<Finding> {
        self.remarks().map(|(origin, problem)| origin.finding(problem.clone())).collect()
    }

    /// Brings these Services up to date with objects that differ from those that were joined in
    /// [what gives them endpoints](super::Concerned::EndpointsOf) alone.
    pub fn update(
        &mut self,
        objects: &Objects,
        ranges: &Ranges,
        names: &BTreeSet<Arc<Name>>,
    ) -> Vec<Changed> {
        // What is wrong with what they ask for is known.
        let asked = names.iter().filter_map(|name| {
            let (name, service) = objects.services.get_key_value(name)?;
            Request::new(name, service, ranges, &mut Vec::new()).ok()
        });
        let requests: Vec<_> = asked.collect();
        let sources = Sources::new(objects, &requests);
        let mut changed = Vec::new();
        for request in &requests {
            let service = service(request, &self.allocations, &sources.of(request));
            let Some(place) = self.place(objects, request.name) else { continue };
            let held = &mut self.cluster.services[place];
            if (&held.ports, &held.problems) != (&service.ports, &service.problems) {
                changed.push(Changed { place, before: mem::replace(held, service) });
            }
        }
        changed
    }

    /// Where a Service is among those of the model.
    fn place(&self, objects: &Objects, name: &Name) -> Option<usize> {
        let age = |name| objects.services.get_key_value(name).map(|(name, service)| age(name, service));
        let wanted = age(name);
        self.cluster.services.binary_search_by(|service| age(&service.name).cmp(&wanted)).ok()
    }
}

/// Joins the objects, and gives Services the ClusterIPs and node ports that their manifests leave out;
/// where possible those of `previous`.
pub fn join(objects: &Objects, ranges: &Ranges, previous: &Allocations) -> Joined {
    let mut remarks = Vec::new();
    let Requests { served, unserved } = Requests::new(objects, ranges, &mut remarks);
    let allocations = allocate(&served, ranges, previous, &mut remarks);
    let sources = Sources::new(objects, &served);
    let services =
        served.iter().map(|request| service(request, &allocations, &sources.of(request))).collect();
    let nodes = objects.nodes.iter().map(|(name, node)| (name.name.clone(), self::node(node))).collect();
    Joined { cluster: Cluster { services, unserved, nodes }, allocations, remarks }
}

fn service(request: &Request<'_>, allocations: &Allocations, source: &Source<'_>) -> Service {
    let mut problems = Vec::new();
    let mut cluster_ips = request.cluster_ips.clone();
    cluster_ips.extend(allocations.cluster_ips(request.name));
    let ports = request.ports.iter().map(|port| {
        let endpoints = source.endpoints(port);
        if endpoints.is_empty() {
            problems.push(source.why_none(port));
        }
        Port {
            index: port.index,
            name: port.port.name.as_deref().unwrap_or_default().to_owned(),
            protocol: port.protocol,
            number: port.number,
            node_port: port.node_port.or(allocations.node_port(request.name, port)),
            endpoints,
        }
    });
    let asked = request.service;
    let mut service = Service {
        ports: ports.collect(),
        name: Arc::clone(request.name),
        families: request.families.clone(),
        cluster_ips,
        load_balancer_ips: load_balancer_ips(asked),
        external_ips: external_ips(asked),
        source_ranges: source_ranges(asked),
        internal_policy: internal_policy(asked),
        external_policy: external_policy(asked),
        algorithm: asked.algorithm,
        affinity_timeout: affinity_timeout(asked),
        health_check_port: request.health_check.or(allocations.health_check_port(request.name)),
        origin: request.origin.clone(),
        problems: Vec::new(),
    };
    problems.extend(nowhere_local(&service));
    service.problems = problems;
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
