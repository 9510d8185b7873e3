//! The weights of endpoints: that of the Pod, else that of the object which lists the endpoint, else 1.

use crate::source::{Name, Objects, PodReference, annotations};

/// The weight of an endpoint that nothing gives one.
pub const DEFAULT: u8 = 1;

/// The weight of the Pod that an endpoint's `targetRef` names. Without a namespace it is in that of the object
/// which lists the endpoint.
pub fn of_pod(objects: &Objects, pod: PodReference<'_>, namespace: &str) -> Option<u8> {
    if objects.pods.is_empty() {
        return None;
    }
    let namespace = pod.namespace.unwrap_or(namespace).to_owned();
    let name = Name { namespace, name: pod.name.to_owned() };
    annotations::weight(&*objects.pods.get(&name)?.value)
}
