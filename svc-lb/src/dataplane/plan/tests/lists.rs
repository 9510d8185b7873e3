//! Lists become slots, and backends say in which they are.

use super::{
    LIMITS, Model,
    fixtures::{add, drain, endpoint, name, service},
    sync,
};
use crate::{
    compile::{Algorithm, Family, FrontendKind, Tables},
    dataplane::{
        element::{IN_CLUSTER, IN_LOCAL, LIVE},
        index::GRACE,
        state::{Limits, State},
    },
};
use std::{sync::Arc, time::Instant};

/// The flags of a backend of the first service.
fn flags(model: &Model, number: u8) -> Option<u16> {
    let (index, _) = *model.live().get(&(name(1), endpoint(Family::V4, number)))?;
    Some(model.contents.backends.v4[index as usize].flags)
}

#[test]
fn a_backend_says_in_which_lists_it_is() {
    let now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), Tables::default());
    add(&mut tables, 1, &[1, 2], &[2, 3], FrontendKind::NodePort);
    sync(&mut state, &mut model, &tables, now);
    let expected = [LIVE | IN_CLUSTER, LIVE | IN_CLUSTER | IN_LOCAL, LIVE | IN_LOCAL];
    assert_eq!([1, 2, 3].map(|number| flags(&model, number)), expected.map(Some));

    let before = model.live();
    add(&mut tables, 1, &[2], &[1], FrontendKind::NodePort);
    drain(&mut tables, 1, &[3]);
    // One that gets into a list and out of the other is written twice, others that change once; two slots and
    // the service.
    assert_eq!(sync(&mut state, &mut model, &tables, now).writes(), 2 + 1 + 1 + 2 + 1);
    let expected = [LIVE | IN_LOCAL, LIVE | IN_CLUSTER, LIVE];
    assert_eq!([1, 2, 3].map(|number| flags(&model, number)), expected.map(Some));
    assert_eq!(model.live(), before, "the same generations");
}

#[test]
fn a_backend_that_is_removed_is_out_of_its_lists_before() {
    let now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), Tables::default());
    service(&mut tables, 1, &[1, 2]);
    sync(&mut state, &mut model, &tables, now);
    let before = model.live();
    service(&mut tables, 1, &[1]);
    let plan = state.plan(&tables, now);
    // The slot, the service, its flags.
    model.apply(&plan, &tables, now, 3).unwrap_err();
    assert_eq!((model.live(), flags(&model, 2)), (before, Some(LIVE)));
}

#[test]
fn weights_are_slots() {
    let now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), Tables::default());
    service(&mut tables, 1, &[1, 2]);
    let weigh = |tables: &mut Tables, weight| {
        Arc::make_mut(&mut tables.services.get_mut(&name(1)).unwrap().lists).cluster[0].weight = weight;
    };
    weigh(&mut tables, 3);
    sync(&mut state, &mut model, &tables, now);
    let held = state.services[&1].clone();
    assert_eq!(held.lists[0].len(), 4);
    assert_ne!(held.service.unwrap().cluster, held.service.unwrap().local, "their weights differ");
    weigh(&mut tables, 1);
    sync(&mut state, &mut model, &tables, now);
    let held = state.services[&1].service.unwrap();
    assert_eq!((held.cluster.length, held.local), (2, held.cluster));
}

#[test]
fn an_algorithm_and_its_slots_come_with_one_write() {
    let start = Instant::now();
    let limits = Limits { slots: 40_000, ..LIMITS };
    let (mut state, mut model, mut tables) = (State::new(limits), Model::default(), Tables::default());
    service(&mut tables, 1, &[1, 2]);
    sync(&mut state, &mut model, &tables, start);
    let balance = |tables: &mut Tables, algorithm| {
        tables.services.get_mut(&name(1)).unwrap().algorithm = algorithm;
    };
    balance(&mut tables, Algorithm::Random);
    assert_eq!(sync(&mut state, &mut model, &tables, start).writes(), 1, "the slots are the same");

    balance(&mut tables, Algorithm::Maglev);
    let plan = state.plan(&tables, start);
    model.apply(&plan, &tables, start, plan.writes() - 1).unwrap_err();
    assert_eq!(model.contents.services[&1].algorithm, Algorithm::Random as u16);
    let mut next = State::adopt(&model.contents, limits, start + GRACE);
    sync(&mut next, &mut model, &tables, start + GRACE);
    let held = model.contents.services[&1];
    assert_eq!((held.algorithm, held.cluster.length), (Algorithm::Maglev as u16, 16_381));
    let mut third = State::adopt(&model.contents, limits, start + GRACE);
    assert_eq!(third.plan(&tables, start + GRACE).writes(), 0, "the next agent finds it");
}

#[test]
fn services_and_slots_that_are_made_anew_leave_numbers_as_they_are() {
    let now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), Tables::default());
    service(&mut tables, 1, &[1, 2, 3]);
    service(&mut tables, 2, &[1]);
    sync(&mut state, &mut model, &tables, now);
    let before = (model.live(), model.contents.names.clone(), model.contents.frontends.clone());
    model.contents.services.clear();
    model.contents.slots.clear();
    // An agent that knew no lists wrote this.
    model.contents.backends.v4.iter_mut().for_each(|backend| backend.flags = LIVE);
    let mut model = Model { contents: model.contents, generations: model.generations, ..Model::default() };
    let mut next = State::adopt(&model.contents, LIMITS, now);
    let plan = next.plan(&tables, now);
    assert_eq!(plan.writes(), 4 + 4 + 2, "flags, slots and services");
    model.apply_unwatched(&plan, now);
    model.assert_is(&tables);
    assert_eq!((model.live(), model.contents.names, model.contents.frontends), before);
}
