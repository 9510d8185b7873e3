//! Labels with a meaning of their own.

use k8s_openapi::{
    Metadata,
    api::{core::v1::Node, discovery::v1::EndpointSlice},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// On an EndpointSlice: the name of its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// On a Service: the name of another proxy that serves it.
pub const SERVICE_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// On an EndpointSlice: its Service is headless, so proxies do not look at it.
pub const HEADLESS: &str = "service.kubernetes.io/headless";

/// On a Node: the zone that it is in.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Whether an object carries a label, with whatever value.
pub fn has(object: &impl Metadata<Ty = ObjectMeta>, label: &str) -> bool {
    object.metadata().labels.as_ref().is_some_and(|labels| labels.contains_key(label))
}

/// The name of the Service whose proxies look at a slice.
pub fn served_by(slice: &EndpointSlice) -> Option<&str> {
    let labels = slice.metadata.labels.as_ref().filter(|labels| !labels.contains_key(HEADLESS))?;
    labels.get(SERVICE_NAME).map(String::as_str)
}

/// The zone that a Node is in.
pub fn zone(node: &Node) -> Option<&str> {
    let zone = node.metadata.labels.as_ref()?.get(ZONE)?;
    Some(zone.as_str()).filter(|zone| !zone.is_empty())
}
