//! The weights of endpoints: that of the Pod, else that of the object which lists the endpoint, else 1.

use crate::source::{Objects, annotations};
use k8s_openapi::api::core::v1::ObjectReference;
use std::collections::HashMap;

/// The weight of an endpoint that nothing gives one.
pub const DEFAULT: u8 = 1;

/// The Pods that have a weight of their own, by namespace and name.
pub struct PodWeights<'a>(HashMap<(&'a str, &'a str), u8>);

impl<'a> PodWeights<'a> {
    pub fn new(objects: &'a Objects) -> Self {
        let weights = objects.pods.iter().filter_map(|(name, pod)| {
            Some(((name.namespace.as_str(), name.name.as_str()), annotations::weight(&*pod.value)?))
        });
        Self(weights.collect())
    }

    /// The weight of the Pod that an endpoint's `targetRef` names. Without a namespace it is in that of the
    /// object which lists the endpoint.
    pub fn of(&self, target: Option<&ObjectReference>, namespace: &str) -> Option<u8> {
        let target = target.filter(|target| target.kind.as_deref() == Some("Pod"))?;
        let namespace = target.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(namespace);
        self.0.get(&(namespace, target.name.as_deref()?)).copied()
    }
}
