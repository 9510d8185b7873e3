//! What differs between two states of the objects.

use super::objects::{Name, Object, Objects};
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
        let mut difference = Self::default();
        let Self { before: old, after: new } = &mut difference;
        old.take_unlike(before, after);
        new.take_unlike(after, before);
        difference
    }
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
