//! What differs between two states of the objects.

use super::{
    name::Name,
    objects::{Object, Objects},
};
use std::{cmp::Ordering, collections::BTreeMap, iter, sync::Arc};

/// What is another in two readings, or only in one of them.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// As it was.
    pub before: Objects,
    /// As it is.
    pub after: Objects,
}

impl Difference {
    /// Of two sets of objects, by looking at each.
    pub(super) fn between(before: &Objects, after: &Objects) -> Self {
        Self { before: unlike(before, after), after: unlike(after, before) }
    }
}

/// What some objects are that is not the same among others too.
fn unlike(some: &Objects, others: &Objects) -> Objects {
    fn unlike<T: Clone>(
        some: &BTreeMap<Arc<Name>, Object<T>>,
        others: &BTreeMap<Arc<Name>, Object<T>>,
    ) -> BTreeMap<Arc<Name>, Object<T>> {
        let names = changed(some, others);
        names.filter_map(|name| Some((Arc::clone(name), some.get(name)?.clone()))).collect()
    }
    let mut objects = Objects::default();
    objects.services = unlike(&some.services, &others.services);
    objects.endpoint_slices = unlike(&some.endpoint_slices, &others.endpoint_slices);
    objects.endpoints = unlike(&some.endpoints, &others.endpoints);
    objects.pods = unlike(&some.pods, &others.pods);
    objects.nodes = unlike(&some.nodes, &others.nodes);
    objects
}

/// The names, in their order, of what is in only one of two sets of objects, or is not the same in both.
pub fn changed<'a, T>(
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
