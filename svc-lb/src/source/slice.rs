//! What svc-lb keeps of an EndpointSlice: there may be a hundred thousand endpoints, and the API's own types take
//! half a kilobyte for each.

use super::{
    annotations, family::Family, interned::interned, labels, name::Name, parse_address, protocol::Protocol,
};
use k8s_openapi::api::discovery::v1 as api;
use std::{net::IpAddr, sync::Arc};

/// An EndpointSlice discovery.k8s.io/v1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The name of the Service whose proxies look at it, which is in its own namespace.
    pub service: Option<Box<str>>,
    /// The weight of its endpoints.
    pub weight: Option<u8>,
    /// `ports`: those that have a number, of protocols that are served.
    pub ports: Box<[SlicePort]>,
    /// `endpoints`: those with an address of its family, by which proxies go.
    pub endpoints: Box<[SliceEndpoint]>,
    /// The names of their Pods, one after the other, with a namespace and a `/` before where it is another's.
    pods: Box<str>,
}

/// A port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// `name`, empty for none.
    pub name: Box<str>,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`, not 0.
    pub number: u16,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// The first of its `addresses`: all lead to the same.
    pub address: IpAddr,
    /// `conditions.ready`; true if it is left out.
    pub ready: bool,
    /// `conditions.serving`; true if it is left out.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `hints`.
    pub hints: Hints,
    /// Where the Pod that `targetRef` names stands among [`EndpointSlice::pods`]; empty: it names none.
    pod: (u32, u32),
}

/// Names that occur many times.
type Names = Box<[Arc<str>]>;

/// Who should prefer an endpoint: few have hints. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints(Option<Arc<[Names; 2]>>);

impl Hints {
    /// From the names of Nodes and of zones.
    pub fn new(nodes: Names, zones: Names) -> Self {
        let hints = [nodes, zones];
        let is_some = hints.iter().any(|names| !names.is_empty());
        Self(is_some.then(|| Arc::new(hints)))
    }

    /// The names of the Nodes that should prefer it (`forNodes`); empty: no hint.
    pub fn nodes(&self) -> &[Arc<str>] {
        self.0.as_ref().map_or(&[], |hints| &hints[0])
    }

    /// The zones whose Nodes should prefer it (`forZones`); empty: no hint.
    pub fn zones(&self) -> &[Arc<str>] {
        self.0.as_ref().map_or(&[], |hints| &hints[1])
    }
}

/// A reference to a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodReference<'a> {
    /// `namespace`; `None`: that of who refers to it.
    pub namespace: Option<&'a str>,
    /// `name`.
    pub name: &'a str,
}

impl From<&api::EndpointSlice> for EndpointSlice {
    fn from(slice: &api::EndpointSlice) -> Self {
        // Slices of domain names (FQDN) are not for proxies.
        let family = Family::from_name(&slice.address_type);
        let namespace = slice.metadata.namespace.as_deref();
        let mut pods = String::new();
        let endpoints = slice.endpoints.iter().flatten();
        let endpoints = endpoints.filter_map(|it| endpoint(it, family?, namespace, &mut pods));
        Self {
            service: labels::served_by(slice).map(Box::from),
            weight: annotations::weight(slice),
            ports: slice.ports.iter().flatten().filter_map(port).collect(),
            endpoints: endpoints.collect(),
            pods: pods.into(),
        }
    }
}

impl EndpointSlice {
    /// The Service whose proxies look at it, where this is its own name.
    pub fn service_of(&self, name: &Name) -> Option<Name> {
        Some(Name { namespace: name.namespace.clone(), name: self.service.as_deref()?.to_owned() })
    }

    /// The Pod that one of its endpoints is of, if it names one.
    pub fn pod(&self, endpoint: &SliceEndpoint) -> Option<PodReference<'_>> {
        let (start, end) = endpoint.pod;
        let text = self.pods.get(start as usize..end as usize).filter(|text| !text.is_empty())?;
        Some(match text.split_once('/') {
            Some((namespace, name)) => PodReference { namespace: Some(namespace), name },
            None => PodReference { namespace: None, name: text },
        })
    }
}

fn port(port: &api::EndpointPort) -> Option<SlicePort> {
    Some(SlicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: Protocol::from_field(port.protocol.as_deref())?,
        number: u16::try_from(port.port?).ok().filter(|number| *number != 0)?,
    })
}

fn endpoint(
    endpoint: &api::Endpoint,
    family: Family,
    own: Option<&str>,
    pods: &mut String,
) -> Option<SliceEndpoint> {
    let address = parse_address(endpoint.addresses.first()?).filter(|it| Family::of(*it) == family)?;
    let conditions = endpoint.conditions.as_ref();
    let hints = endpoint.hints.as_ref();
    let nodes = hints.and_then(|hints| hints.for_nodes.as_ref()).into_iter().flatten();
    let zones = hints.and_then(|hints| hints.for_zones.as_ref()).into_iter().flatten();
    let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
    let start = pods.len();
    if let Some((target, name)) = target.and_then(|target| Some((target, target.name.as_deref()?))) {
        let others = target.namespace.as_deref().filter(|name| !name.is_empty() && Some(*name) != own);
        if let Some(namespace) = others {
            pods.extend([namespace, "/"]);
        }
        pods.push_str(name);
    }
    // A slice holds no four gigabytes of names.
    let pod = (start as u32, pods.len() as u32);
    Some(SliceEndpoint {
        address,
        ready: conditions.and_then(|conditions| conditions.ready) != Some(false),
        serving: conditions.and_then(|conditions| conditions.serving) != Some(false),
        terminating: conditions.and_then(|conditions| conditions.terminating) == Some(true),
        node: endpoint.node_name.as_deref().map(interned),
        hints: Hints::new(
            nodes.map(|node| interned(&node.name)).collect(),
            zones.map(|zone| interned(&zone.name)).collect(),
        ),
        pod,
    })
}
