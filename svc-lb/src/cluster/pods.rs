//! Endpoints computed from Pods, as the EndpointSlice controller does.

use super::{model::Endpoint, request::RequestedPort, weights};
use crate::source::{
    Family, Hints, Name, Object, Protocol, Selector, Service, annotations, interned, labels, parse_address,
};
use k8s_openapi::{
    api::core::v1::{Node, Pod, PodStatus},
    apimachinery::pkg::util::intstr::IntOrString,
};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// The Pods that can be endpoints.
pub struct Pods<'a> {
    /// By namespace, label and value, so that a selector looks at few of them.
    by_label: HashMap<(&'a str, &'a str, &'a str), Vec<&'a Pod>>,
    /// The zones of Nodes, by their names.
    zones: HashMap<&'a str, &'a str>,
}

/// A Pod that belongs to a Service.
pub struct Member<'a> {
    pod: &'a Pod,
    /// At most one address of each family.
    addresses: Vec<IpAddr>,
    /// What is true of it at every address and port.
    endpoint: Endpoint,
}

impl<'a> Pods<'a> {
    /// Those that a selector may name which has one of the labels that count: by namespace, label and value.
    pub fn new(
        pods: &'a BTreeMap<Arc<Name>, Object<Pod>>,
        nodes: &'a BTreeMap<Arc<Name>, Object<Node>>,
        counts: impl Fn(&str, &str, &str) -> bool,
    ) -> Self {
        let mut by_label: HashMap<_, Vec<_>> = HashMap::new();
        for (name, pod) in pods {
            for (label, value) in pod.value.metadata.labels.iter().flatten() {
                let (namespace, label, value) = (name.namespace.as_str(), label.as_str(), value.as_str());
                if counts(namespace, label, value) {
                    by_label.entry((namespace, label, value)).or_default().push(&*pod.value);
                }
            }
        }
        let zones =
            nodes.iter().filter_map(|(name, node)| Some((name.name.as_str(), labels::zone(&node.value)?)));
        Self { by_label, zones: zones.collect() }
    }

    /// The Pods of a namespace that have every label of a Service's selector and an address, and have not ended.
    pub fn selected(&self, namespace: &str, service: &Service) -> Vec<Member<'a>> {
        self.labelled(namespace, &service.selector).filter_map(|pod| self.member(pod, service)).collect()
    }

    /// The Pods of a namespace that have every label of a selector; none if that is empty.
    pub fn labelled<'b>(
        &'b self,
        namespace: &'b str,
        selector: &'b Selector,
    ) -> impl Iterator<Item = &'a Pod> + use<'a, 'b> {
        let candidates = selector.iter().map(|(label, value)| {
            self.by_label.get(&(namespace, &**label, &**value)).map_or(&[][..], Vec::as_slice)
        });
        let fewest = candidates.min_by_key(|pods| pods.len()).unwrap_or_default();
        let matches = move |pod: &&'a Pod| {
            let labels = pod.metadata.labels.as_ref();
            let has = |label: &str| labels.and_then(|labels| labels.get(label)).map(String::as_str);
            selector.iter().all(|(label, value)| has(label) == Some(&**value))
        };
        fewest.iter().copied().filter(matches)
    }

    fn member(&self, pod: &'a Pod, service: &Service) -> Option<Member<'a>> {
        let status = pod.status.as_ref()?;
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let addresses = addresses(status);
        if ended || addresses.is_empty() {
            return None;
        }
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let serving = is_ready(status);
        let ready = service.publish_not_ready_addresses == Some(true) || (serving && !terminating);
        let node =
            pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty());
        // Like the controller, only an endpoint that is ready gets hints, and that for a Node goes with the one
        // for its zone, to which others fall back.
        let distribution = service.traffic_distribution.as_deref().filter(|_| ready);
        let close = matches!(distribution, Some("PreferClose" | "PreferSameZone" | "PreferSameNode"));
        let zone = node.and_then(|node| self.zones.get(node)).filter(|_| close);
        let node_hint = node.filter(|_| distribution == Some("PreferSameNode"));
        let endpoint = Endpoint {
            address: *addresses.first()?,
            port: 0,
            ready,
            serving,
            terminating,
            node: node.map(interned),
            hints: Hints::new(
                node_hint.map(interned).into_iter().collect(),
                zone.map(|zone| interned(zone)).into_iter().collect(),
            ),
            weight: annotations::weight(pod).unwrap_or(weights::DEFAULT),
        };
        Some(Member { pod, addresses, endpoint })
    }
}

impl Member<'_> {
    /// Its endpoints for a port: its addresses with the target port, if it has that.
    pub fn endpoints(&self, port: &RequestedPort<'_>) -> impl Iterator<Item = Endpoint> {
        let target = self.target(port).into_iter();
        target.flat_map(move |port| {
            self.addresses.iter().map(move |&address| Endpoint { address, port, ..self.endpoint.clone() })
        })
    }

    /// The number of a Service port's target port in this Pod.
    fn target(&self, port: &RequestedPort<'_>) -> Option<u16> {
        match &port.port.target_port {
            None | Some(IntOrString::Int(0)) => Some(port.number),
            Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
            Some(IntOrString::String(name)) if name.is_empty() => Some(port.number),
            Some(IntOrString::String(name)) => self.named_port(name, port.protocol),
        }
    }

    /// The number of a container's port of this name. Containers that start before the others and then
    /// run beside them (sidecars) have ports too.
    fn named_port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        let spec = self.pod.spec.as_ref()?;
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let mut ports =
            spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
        let port = ports.find(|port| {
            port.name.as_deref() == Some(name)
                && Protocol::from_field(port.protocol.as_deref()) == Some(protocol)
        })?;
        u16::try_from(port.container_port).ok()
    }
}

/// The first address of each family.
fn addresses(status: &PodStatus) -> Vec<IpAddr> {
    let several = status.pod_ips.iter().flatten().map(|address| address.ip.as_str());
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in several.chain(status.pod_ip.as_deref()).filter_map(parse_address) {
        if !addresses.iter().any(|other| Family::of(*other) == Family::of(address)) {
            addresses.push(address);
        }
    }
    addresses
}

/// Whether the Pod is ready. One that was written by hand has no conditions at all: nobody watches it, and
/// it counts as ready.
fn is_ready(status: &PodStatus) -> bool {
    let Some(conditions) = &status.conditions else { return true };
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
