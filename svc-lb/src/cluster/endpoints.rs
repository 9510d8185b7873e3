//! The endpoints of a Service port: from EndpointSlices, else from Endpoints, else from Pods.

use super::{
    model::Endpoint,
    pods::{Member, Pods},
    request::{Request, RequestedPort},
    weights,
};
use crate::source::{
    EndpointSlice, Hints, Name, NamedSlice, Object, Objects, PodReference, Problem, Protocol, Selector,
    SlicePort, annotations, interned, parse_address,
};
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, ObjectReference, Pod};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

static NO_PODS: BTreeMap<Arc<Name>, Object<Pod>> = BTreeMap::new();

/// All objects that give endpoints.
pub struct Sources<'a> {
    objects: &'a Objects,
    pods: Pods<'a>,
}

/// What gives the endpoints of one Service.
pub enum Source<'a> {
    Slices(&'a [NamedSlice], Listing<'a>),
    Endpoints(&'a Endpoints, Listing<'a>),
    /// The Pods that a selector matches.
    Pods(Vec<Member<'a>>, &'a Selector),
    Nothing,
}

/// What else there is to know of endpoints that an object lists.
#[derive(Clone, Copy)]
pub struct Listing<'a> {
    /// The namespace of the object.
    namespace: &'a str,
    objects: &'a Objects,
}

impl<'a> Sources<'a> {
    /// For these Services.
    pub fn new(objects: &'a Objects, requests: &[Request<'_>]) -> Self {
        let selecting = requests.iter().filter(|it| !is_listed(objects, it.name));
        let labels = selecting.flat_map(|request| {
            let namespace = request.name.namespace.as_str();
            let selector = request.service.selector.iter();
            selector.map(move |(label, value)| (namespace, &**label, &**value))
        });
        let labels: HashSet<_> = labels.collect();
        let pods = if labels.is_empty() { &NO_PODS } else { &objects.pods };
        let counts = |namespace: &str, label: &str, value: &str| labels.contains(&(namespace, label, value));
        Self { objects, pods: Pods::new(pods, &objects.nodes, counts) }
    }

    /// What gives the endpoints of a Service.
    pub fn of<'b>(&'b self, request: &Request<'b>) -> Source<'b> {
        let namespace = request.name.namespace.as_str();
        let listing = Listing { namespace, objects: self.objects };
        let slices = self.objects.slices_of(request.name);
        if !slices.is_empty() {
            return Source::Slices(slices, listing);
        }
        if let Some(endpoints) = self.objects.endpoints.get(request.name) {
            return Source::Endpoints(&endpoints.value, listing);
        }
        if request.service.selector.is_empty() {
            return Source::Nothing;
        }
        Source::Pods(self.pods.selected(namespace, request.service), &request.service.selector)
    }
}

impl Source<'_> {
    /// The endpoints of a port.
    pub fn endpoints(&self, port: &RequestedPort<'_>) -> Vec<Endpoint> {
        Endpoint::merge(match self {
            Self::Slices(slices, listing) => {
                slices.iter().flat_map(|(_, slice)| from_slice(slice, *listing, port)).collect()
            }
            Self::Endpoints(endpoints, listing) => from_endpoints(endpoints, *listing, port),
            Self::Pods(members, _) => members.iter().flat_map(|member| member.endpoints(port)).collect(),
            Self::Nothing => Vec::new(),
        })
    }

    /// Why a port has no endpoints.
    pub fn why_none(&self, port: &RequestedPort<'_>) -> Problem {
        let name = port.port.name.as_deref().unwrap_or_default();
        let none_with_the_port =
            |kind| format!("its {kind} have no address with a port named {name:?} for {}", port.protocol);
        let check_names = "check the names and protocols of the ports there";
        let (why, mend) = match self {
            Self::Slices(..) => (none_with_the_port("EndpointSlices"), check_names),
            Self::Endpoints(..) => (none_with_the_port("Endpoints"), check_names),
            Self::Pods(members, selector) if members.is_empty() => (
                format!("no Pod with an address has the labels {}", list(selector)),
                "check spec.selector, the Pods' labels and namespace, and their status.podIP",
            ),
            Self::Pods(..) => (
                format!(
                    "none of its Pods has a container port of the name in targetPort for {}",
                    port.protocol
                ),
                check_names,
            ),
            Self::Nothing => (
                "the Service has neither a selector nor EndpointSlices or Endpoints".to_owned(),
                "write a selector, or one of these",
            ),
        };
        let what = format!("port {} has no endpoints, so connections are refused", port.number);
        Problem::info(format!("spec.ports[{}]", port.index), what, why, mend)
    }
}

/// Whether an object lists the endpoints of a Service, so that its selector does not matter.
fn is_listed(objects: &Objects, service: &Name) -> bool {
    !objects.slices_of(service).is_empty() || objects.endpoints.contains_key(service)
}

/// A selector as kubectl takes it, in the form `app=web,tier=front`.
fn list(selector: &Selector) -> String {
    selector.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(",")
}

/// The endpoints that a slice has for a port: those of the port of that name and protocol.
fn from_slice<'a>(
    slice: &'a EndpointSlice,
    listing: Listing<'a>,
    port: &RequestedPort<'_>,
) -> impl Iterator<Item = Endpoint> + use<'a> {
    let name = port.port.name.as_deref().unwrap_or_default();
    let is_same = |it: &&SlicePort| (&*it.name, it.protocol) == (name, port.protocol);
    let number = slice.ports.iter().find(is_same).map(|port| port.number);
    let weight = slice.weight.unwrap_or(weights::DEFAULT);
    number.into_iter().flat_map(move |number| {
        slice.endpoints.iter().map(move |endpoint| Endpoint {
            address: endpoint.address,
            port: number,
            ready: endpoint.ready,
            serving: endpoint.serving,
            terminating: endpoint.terminating,
            node: endpoint.node.clone(),
            hints: endpoint.hints.clone(),
            weight: listing.weight(slice.pod(endpoint)).unwrap_or(weight),
        })
    })
}

/// The endpoints that Endpoints have for a port.
fn from_endpoints(endpoints: &Endpoints, listing: Listing<'_>, port: &RequestedPort<'_>) -> Vec<Endpoint> {
    let weight = annotations::weight(endpoints).unwrap_or(weights::DEFAULT);
    let mut found = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports = subset.ports.iter().flatten();
        let mut numbers = ports
            .filter(|subset_port| is_same(port, subset_port.name.as_deref(), subset_port.protocol.as_deref()))
            .filter_map(|subset_port| number(subset_port.port));
        let Some(number) = numbers.next() else { continue };
        let mut add = |addresses: &Option<Vec<EndpointAddress>>, ready| {
            found.extend(addresses.iter().flatten().filter_map(|address| {
                Some(Endpoint {
                    address: parse_address(&address.ip)?,
                    port: number,
                    ready,
                    serving: ready,
                    terminating: false,
                    node: address.node_name.as_deref().map(interned),
                    hints: Hints::default(),
                    weight: listing.weight(pod(address.target_ref.as_ref())).unwrap_or(weight),
                })
            }));
        };
        add(&subset.addresses, true);
        add(&subset.not_ready_addresses, false);
    }
    found
}

/// The Pod that a reference names, if it names one.
fn pod(target: Option<&ObjectReference>) -> Option<PodReference<'_>> {
    let target = target.filter(|target| target.kind.as_deref() == Some("Pod"))?;
    let namespace = target.namespace.as_deref().filter(|name| !name.is_empty());
    Some(PodReference { namespace, name: target.name.as_deref()? })
}

impl Listing<'_> {
    /// The weight of an endpoint's Pod.
    fn weight(self, pod: Option<PodReference<'_>>) -> Option<u8> {
        weights::of_pod(self.objects, pod?, self.namespace)
    }
}

/// Whether a port of Endpoints is that of the Service: by name and protocol.
fn is_same(port: &RequestedPort<'_>, name: Option<&str>, protocol: Option<&str>) -> bool {
    name.unwrap_or_default() == port.port.name.as_deref().unwrap_or_default()
        && Protocol::from_field(protocol) == Some(port.protocol)
}

/// A port's number, unless it stands for none.
fn number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}
