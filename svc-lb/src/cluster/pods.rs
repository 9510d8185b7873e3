//! Endpoints computed from Pods, as the EndpointSlice controller does.

use super::{model::Endpoint, request::RequestedPort};
use crate::source::{Family, Objects, Protocol, parse_address};
use k8s_openapi::{
    api::core::v1::{Pod, PodStatus},
    apimachinery::pkg::util::intstr::IntOrString,
};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

/// The Pods that can be endpoints, by namespace, label and value, so that a selector looks at few of them.
pub struct Pods<'a>(HashMap<(&'a str, &'a str, &'a str), Vec<&'a Pod>>);

/// A Pod that belongs to a Service.
pub struct Member<'a> {
    pod: &'a Pod,
    /// At most one address of each family.
    addresses: Vec<IpAddr>,
    ready: bool,
    serving: bool,
    terminating: bool,
}

impl<'a> Pods<'a> {
    pub fn new(objects: &'a Objects) -> Self {
        let mut pods: HashMap<_, Vec<_>> = HashMap::new();
        for (name, pod) in &objects.pods {
            for (label, value) in pod.value.metadata.labels.iter().flatten() {
                let key = (name.namespace.as_str(), label.as_str(), value.as_str());
                pods.entry(key).or_default().push(&*pod.value);
            }
        }
        Self(pods)
    }

    /// The Pods of a namespace that have every label of a selector and an address, and have not ended.
    pub fn selected(
        &self,
        namespace: &str,
        selector: &BTreeMap<String, String>,
        ready_or_not: bool,
    ) -> Vec<Member<'a>> {
        let candidates = selector.iter().map(|(label, value)| {
            self.0.get(&(namespace, label.as_str(), value.as_str())).map_or(&[][..], Vec::as_slice)
        });
        let fewest = candidates.min_by_key(|pods| pods.len()).unwrap_or_default();
        let matches = |pod: &&&Pod| {
            let labels = pod.metadata.labels.as_ref();
            selector.iter().all(|(label, value)| labels.and_then(|labels| labels.get(label)) == Some(value))
        };
        fewest.iter().filter(matches).filter_map(|pod| Member::new(pod, ready_or_not)).collect()
    }
}

impl<'a> Member<'a> {
    fn new(pod: &'a Pod, ready_or_not: bool) -> Option<Self> {
        let status = pod.status.as_ref()?;
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let addresses = addresses(status);
        if ended || addresses.is_empty() {
            return None;
        }
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let serving = is_ready(status);
        let ready = ready_or_not || (serving && !terminating);
        Some(Self { pod, addresses, ready, serving, terminating })
    }

    /// Its endpoints for a port: its addresses with the target port, if it has that.
    pub fn endpoints(&self, port: &RequestedPort<'_>) -> impl Iterator<Item = Endpoint> {
        let Self { ready, serving, terminating, .. } = *self;
        let target = self.target(port).into_iter();
        target.flat_map(move |port| {
            let endpoint = move |&address| Endpoint { address, port, ready, serving, terminating };
            self.addresses.iter().map(endpoint)
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
