//! The weights of endpoints: that of the Pod, else that of the object which lists the endpoint, else 1.

use crate::source::{Name, Objects, annotations};
use k8s_openapi::api::core::v1::ObjectReference;

/// The weight of an endpoint that nothing gives one.
pub const DEFAULT: u8 = 1;

/// The weight of the Pod that an endpoint's `targetRef` names. Without a namespace it is in that of the object
/// which lists the endpoint.
pub fn of_pod(objects: &Objects, target: Option<&ObjectReference>, namespace: &str) -> Option<u8> {
    let target = target.filter(|target| !objects.pods.is_empty() && target.kind.as_deref() == Some("Pod"))?;
    let namespace = target.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(namespace);
    let name = Name { namespace: namespace.to_owned(), name: target.name.clone()? };
    annotations::weight(&*objects.pods.get(&name)?.value)
}
