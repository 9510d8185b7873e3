//! Names that occur many times, kept once.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// Below how many names nothing is forgotten.
const FEW: usize = 1024;

/// All of them, and how many there may be until those that nobody has any more are forgotten.
static NAMES: LazyLock<Mutex<(HashSet<Arc<str>>, usize)>> =
    LazyLock::new(|| Mutex::new((HashSet::new(), FEW)));

/// A name that takes memory once, however many have it: that of a node or a zone.
pub fn interned(name: &str) -> Arc<str> {
    let mut guard = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let (names, limit) = &mut *guard;
    if let Some(known) = names.get(name) {
        return Arc::clone(known);
    }
    if names.len() >= *limit {
        names.retain(|name| Arc::strong_count(name) > 1);
        *limit = FEW.max(names.len() * 2);
    }
    let name: Arc<str> = name.into();
    names.insert(Arc::clone(&name));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once() {
        assert!(Arc::ptr_eq(&interned("node-1"), &interned("node-1")));
        assert_eq!((&*interned("node-1"), &*interned("node-2")), ("node-1", "node-2"));
        for number in 0..FEW * 4 {
            interned(&number.to_string());
        }
        assert!(NAMES.lock().expect("no panic").0.len() < FEW * 3, "what nobody has is forgotten");
    }
}
