//! Which Services a change of the objects concerns.

use super::pods::Pods;
use crate::source::{Difference, Name, Object, Objects, Service, annotations, changed};
use k8s_openapi::api::core::v1::Pod;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a change of the objects may change in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concerned {
    /// Anything.
    Everything,
    /// The endpoints of these Services, if there are such, and nothing else.
    EndpointsOf(BTreeSet<Arc<Name>>),
}

/// What may be another in the model after a change that led to these objects.
pub fn concerned(difference: &Difference, objects: &Objects) -> Concerned {
    let Difference { before, after } = difference;
    let has_changed = changed(&before.services, &after.services).next().is_some()
        || changed(&before.nodes, &after.nodes).next().is_some();
    let pods: Vec<_> = changed(&before.pods, &after.pods).collect();
    let weight =
        |objects: &Objects, name| objects.pods.get(name).and_then(|pod| annotations::weight(&*pod.value));
    if has_changed || pods.iter().any(|&name| weight(before, name) != weight(after, name)) {
        return Concerned::Everything;
    }
    let mut services = BTreeSet::new();
    for name in changed(&before.endpoint_slices, &after.endpoint_slices) {
        let slices = [before, after].into_iter().filter_map(|objects| objects.endpoint_slices.get(name));
        services.extend(slices.filter_map(|slice| slice.value.service_of(name)).map(Arc::new));
    }
    services.extend(changed(&before.endpoints, &after.endpoints).cloned());
    let of = |objects: &Objects| {
        let held = pods.iter().filter_map(|&name| Some((Arc::clone(name), objects.pods.get(name)?.clone())));
        held.collect::<BTreeMap<_, _>>()
    };
    for pods in [of(before), of(after)] {
        services.extend(selecting(objects, &pods));
    }
    Concerned::EndpointsOf(services)
}

/// The Services that select some of these Pods.
pub fn selecting(objects: &Objects, pods: &BTreeMap<Arc<Name>, Object<Pod>>) -> Vec<Arc<Name>> {
    if pods.is_empty() {
        return Vec::new();
    }
    let nodes = BTreeMap::new();
    let pods = Pods::new(pods, &nodes, |_, _, _| true);
    let selects = |(name, service): &(&Arc<Name>, &Object<Service>)| {
        pods.labelled(&name.namespace, &service.value.selector).next().is_some()
    };
    objects.services.iter().filter(selects).map(|(name, _)| Arc::clone(name)).collect()
}
