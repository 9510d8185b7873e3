//! What one change of the tables writes, and what it leaves alone.

use super::{
    LIMITS, Model,
    fixtures::{add, drain, endpoint, many, name, service},
    sync,
};
use crate::{
    compile::{Family, FrontendKind, Tables},
    dataplane::{index::GRACE, state::State},
};
use std::time::Instant;

#[test]
fn one_endpoint_changes_with_writes_for_its_service_only() {
    let now = Instant::now();
    let changes = |count| {
        let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), many(count));
        sync(&mut state, &mut model, &tables, now);
        service(&mut tables, 1, &[1, 2, 4]);
        let first = sync(&mut state, &mut model, &tables, now);
        service(&mut tables, 1, &[1, 2]);
        let second = sync(&mut state, &mut model, &tables, now);
        (first.writes(), second.writes())
    };
    // A backend, three slots, the service, the removed backend's flags and itself; then two slots, the
    // service, and the same of another backend.
    assert_eq!(changes(2), (7, 5));
    assert_eq!(changes(60), (7, 5));
}

#[test]
fn ids_indexes_and_cursors_stay() {
    let now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), many(3));
    sync(&mut state, &mut model, &tables, now);
    let id = state.names[&name(1)];
    let before = state.services[&id].clone();
    service(&mut tables, 1, &[3, 2, 1]);
    tables.services.remove(&name(0));
    tables.frontends.retain(|_, target| target.service != name(0));
    sync(&mut state, &mut model, &tables, now);
    assert_eq!(state.names[&name(1)], id);
    let after = &state.services[&id];
    assert_eq!(after.backends, before.backends);
    assert_eq!(after.service.unwrap().cluster.cursor, before.service.unwrap().cluster.cursor);
}

#[test]
fn equal_lists_share_slots_and_cursor_and_others_do_not() {
    let now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), Tables::default());
    service(&mut tables, 1, &[1, 2]);
    sync(&mut state, &mut model, &tables, now);
    let held = state.services[&1].service.unwrap();
    assert_eq!(held.cluster, held.local);
    add(&mut tables, 1, &[1, 2], &[1], FrontendKind::NodePort);
    sync(&mut state, &mut model, &tables, now);
    let changed = state.services[&1].service.unwrap();
    assert_eq!(changed.cluster, held.cluster, "a list that did not change keeps its slots");
    assert_ne!(changed.local.cursor, held.cluster.cursor);
    add(&mut tables, 1, &[], &[], FrontendKind::NodePort);
    sync(&mut state, &mut model, &tables, now);
    let empty = state.services[&1].service.unwrap();
    assert_eq!((empty.cluster.length, empty.local.length), (0, 0));
}

#[test]
fn the_new_list_is_in_force_before_the_removed_backend_changes() {
    let now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), Tables::default());
    service(&mut tables, 1, &[1, 2]);
    sync(&mut state, &mut model, &tables, now);
    let removed = state.services[&1].backends[&endpoint(Family::V4, 1).into()].index as usize;
    let generation = model.contents.backends.v4[removed].generation;
    service(&mut tables, 1, &[2]);
    let plan = state.plan(&tables, now);
    for death in 0..=plan.writes() {
        let mut model = Model { contents: model.contents.clone(), ..Model::default() };
        let _ = model.apply(&plan, &tables, now + GRACE, death);
        let in_force = model.contents.services[&1].cluster.length == 1;
        let backend = model.contents.backends.v4[removed];
        assert!(in_force || backend.generation == generation, "after {death} writes");
    }
}

#[test]
fn a_backend_that_drains_keeps_its_flows_until_it_is_gone_or_comes_back() {
    let mut now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), Tables::default());
    service(&mut tables, 1, &[1, 2, 3]);
    sync(&mut state, &mut model, &tables, now);
    let backend = |model: &Model, number| model.live().get(&(name(1), endpoint(Family::V4, number))).copied();
    let before = [1, 2, 3].map(|number| backend(&model, number));

    service(&mut tables, 1, &[2]);
    drain(&mut tables, 1, &[1, 3, 4]);
    // A slot, the service and two backends' flags: no backend is removed.
    assert_eq!(sync(&mut state, &mut model, &tables, now).writes(), 4);
    assert_eq!([1, 2, 3].map(|number| backend(&model, number)), before);
    assert_eq!(backend(&model, 4), None, "it never had a flow");

    drain(&mut tables, 1, &[1]);
    // Only the removed backend: the lists stay.
    assert_eq!(sync(&mut state, &mut model, &tables, now).writes(), 1);
    assert_eq!([1, 2, 3].map(|number| backend(&model, number)), [before[0], before[1], None]);

    now += GRACE;
    let mut next = State::adopt(&model.contents, LIMITS, now);
    assert_eq!(next.plan(&tables, now).writes(), 0, "the next agent keeps it, too");
    service(&mut tables, 1, &[1, 2]);
    sync(&mut next, &mut model, &tables, now);
    assert_eq!([1, 2, 3].map(|number| backend(&model, number)), [before[0], before[1], None]);
}
