//! Elements of maps, many at a time.

use super::{in_namespaces, open};
use crate::dataplane::{
    Dataplane,
    batch::Position,
    maps,
    syscall::{Access, RawMap},
    typed::MapError,
    view::View,
};
use std::{collections::BTreeSet, path::Path};
use svc_lb_common::service::Service;

/// Puts services with the ids below 1000 into the map.
fn fill(dataplane: &Dataplane) {
    let services: Vec<(u32, Service)> = (0..1000).map(|id| (id, Service::default())).collect();
    dataplane.maps.services.set(&services).expect("services");
}

fn ids(dataplane: &Dataplane) -> BTreeSet<u32> {
    dataplane.maps.services.dump().expect("services").into_iter().map(|(id, _)| id).collect()
}

fn raw(pin_dir: &Path, name: &str, access: Access) -> RawMap {
    RawMap::open(&maps::directory(pin_dir).join(name), access, None).expect("a pinned map")
}

#[test]
fn keys_that_are_not_there_do_not_keep_others_from_being_deleted() {
    in_namespaces(|pin_dir| {
        let dataplane = open(pin_dir);
        fill(&dataplane);
        dataplane.maps.services.delete(&[5000, 1, 5001, 5002, 2, 3, 5003]).expect("deleted");
        let left = ids(&dataplane);
        assert_eq!(left.len(), 997);
        assert!((1..4).all(|id| !left.contains(&id)));
        dataplane.maps.services.delete(&[]).expect("nothing to do");
        dataplane.maps.services.delete(&[5000]).expect("nothing to do");
    });
}

#[test]
fn a_walk_meets_every_element_in_batches_and_key_by_key() {
    in_namespaces(|pin_dir| {
        fill(&open(pin_dir));
        let services = raw(pin_dir, "SERVICES", Access::Read);
        let walk = |by_keys: bool| {
            let (mut position, mut found) = (Position::Start, BTreeSet::new());
            while !matches!(position, Position::End) {
                let elements = match (by_keys, &position) {
                    (true, Position::Start) => services.walk_keys(&mut position, None, 7),
                    (true, _) => services.walk(&mut position, 7),
                    // There is room for one element: a bucket that holds more must not end the walk.
                    (false, _) => services.walk(&mut position, 1),
                };
                let keys = elements.expect("elements").keys;
                found.extend(keys.chunks_exact(4).map(bytemuck::pod_read_unaligned::<u32>));
            }
            found
        };
        let all: BTreeSet<u32> = (0..1000).collect();
        assert_eq!(walk(false), all);
        assert_eq!(walk(true), all);
    });
}

#[test]
fn a_range_of_an_array_is_read_from_any_index_to_its_end() {
    in_namespaces(|pin_dir| {
        let dataplane = open(pin_dir);
        let slots = &dataplane.maps.slots;
        let elements: Vec<(u32, u32)> = (0..10_000).map(|index| (index, index * 2)).collect();
        slots.set(&elements).expect("slots");
        assert_eq!(slots.range(0, 3).expect("slots"), [0, 2, 4]);
        let long: Vec<u32> = (17..9017).map(|index| index * 2).collect();
        assert_eq!(slots.range(17, 9000).expect("slots"), long);
        assert_eq!(slots.range(slots.length() - 2, 5).expect("slots"), [0, 0]);
        assert_eq!(slots.range(slots.length(), 5).expect("slots"), [0; 0]);
    });
}

#[test]
fn buffers_of_another_size_never_reach_the_kernel() {
    in_namespaces(|pin_dir| {
        drop(open(pin_dir));
        let services = raw(pin_dir, "SERVICES", Access::Write);
        let (key, value) = ([0; 4], [0; size_of::<Service>()]);
        assert!(services.update(&key[..3], &value).is_err());
        assert!(services.update(&key, &value[1..]).is_err());
        assert!(services.lookup(&key, &mut [0; 8]).is_err());
        assert!(services.delete(&[0; 8]).is_err());
        assert!(services.update_batch(&[0; 8], &value).is_err());
        assert!(services.delete_batch(&[0; 6]).is_err());
        assert!(services.update(&key, &value).is_ok());
    });
}

#[test]
fn a_view_cannot_write() {
    in_namespaces(|pin_dir| {
        drop(open(pin_dir));
        let view = View::open(pin_dir).expect("pinned maps");
        let error = view.maps.services.set(&[(1, Service::default())]).expect_err("it is read-only");
        assert!(matches!(error, MapError::Kernel { .. }));
        assert!(error.to_string().starts_with("map SERVICES: cannot write it: "), "{error}");
    });
}
