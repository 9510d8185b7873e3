//! Which Services a change of the objects concerns.

use super::pods::Pods;
use crate::source::{Name, Object, Objects, annotations, labels};
use k8s_openapi::api::core::v1::{Pod, Service};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    iter,
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

/// What may be another in the model if the objects `before` are followed by those `after`.
pub fn concerned(before: &Objects, after: &Objects) -> Concerned {
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
        services.extend(slices.filter_map(|slice| labels::served_by(name, &slice.value)).map(Arc::new));
    }
    services.extend(changed(&before.endpoints, &after.endpoints).cloned());
    let of = |objects: &Objects| {
        let held = pods.iter().filter_map(|&name| Some((Arc::clone(name), objects.pods.get(name)?.clone())));
        held.collect::<BTreeMap<_, _>>()
    };
    for pods in [of(before), of(after)] {
        services.extend(selecting(after, &pods));
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
        let selector = service.value.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| pods.labelled(&name.namespace, selector).next().is_some())
    };
    objects.services.iter().filter(selects).map(|(name, _)| Arc::clone(name)).collect()
}

/// The names of what is in only one of two sets of objects, or is not the same in both.
fn changed<'a, T>(
    before: &'a BTreeMap<Arc<Name>, Object<T>>,
    after: &'a BTreeMap<Arc<Name>, Object<T>>,
) -> impl Iterator<Item = &'a Arc<Name>> {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    iter::from_fn(move || {
        loop {
            let (Some((old, one)), Some((new, other))) = (before.peek(), after.peek()) else {
                return before.next().or_else(|| after.next()).map(|(name, _)| name);
            };
            if Arc::ptr_eq(&one.value, &other.value) && old == new {
                before.next();
                after.next();
                continue;
            }
            return match old.cmp(new) {
                Ordering::Less => before.next().map(|(name, _)| name),
                Ordering::Greater => after.next().map(|(name, _)| name),
                Ordering::Equal => {
                    before.next();
                    after.next().map(|(name, _)| name)
                }
            };
        }
    })
}
