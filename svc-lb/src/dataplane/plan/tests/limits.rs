//! Numbers run out, and come back.

use super::{
    Model,
    fixtures::{add, name, service, virtual_address},
    sync,
};
use crate::{
    compile::{Family, Frontend, FrontendKind, Tables, Target},
    dataplane::{
        element::FrontendKey,
        index::GRACE,
        plan::Refusal,
        state::{Limits, State},
    },
};
use std::time::Instant;
use svc_lb_common::frontend;

#[test]
fn numbers_run_out_and_come_back_after_the_grace_period() {
    let start = Instant::now();
    let limits = Limits { services: 3, slots: 6, backends: 4, frontends: 4, source_ranges: 4 };
    let (mut state, mut model, mut tables) = (State::new(limits), Model::default(), Tables::default());
    service(&mut tables, 1, &[1, 2]);
    service(&mut tables, 2, &[1, 2]);
    sync(&mut state, &mut model, &tables, start);
    let in_force = tables.clone();

    let mut refused = |state: &mut State, tables: &Tables, expected: &[Refusal]| {
        let plan = state.plan(tables, start);
        assert_eq!(plan.refusals, expected);
        model.apply(&plan, &in_force, start, usize::MAX).unwrap();
        model.assert_is(&in_force);
    };
    service(&mut tables, 4, &[1]);
    let place = *tables.frontends.iter().find(|(_, target)| target.service == name(4)).unwrap().0;
    tables.addresses.remove(&place.address);
    refused(&mut state, &tables, &[Refusal::Services(name(4), 2)]);
    tables = in_force.clone();
    service(&mut tables, 1, &[1, 3]);
    refused(&mut state, &tables, &[Refusal::Backends(name(1), 4)]);
    tables = in_force.clone();
    service(&mut tables, 1, &[1, 2, 1]);
    refused(&mut state, &tables, &[Refusal::Slots(name(1), 6)]);
    tables = in_force.clone();
    let second = Frontend { port: 81, ..place };
    tables.frontends.insert(second, Target { service: name(1), kind: FrontendKind::ClusterIp });
    refused(&mut state, &tables, &[Refusal::Frontends(second, 4)]);

    tables = in_force.clone();
    tables.services.remove(&name(2));
    tables.frontends.retain(|_, target| target.service != name(2));
    sync(&mut state, &mut model, &tables, start);
    service(&mut tables, 1, &[1, 3]);
    assert_eq!(state.plan(&tables, start + GRACE / 2).refusals, [Refusal::Backends(name(1), 4)]);
    sync(&mut state, &mut model, &tables, start + GRACE);
}

#[test]
fn nothing_leaks() {
    let mut now = Instant::now();
    // Room for what is in force and what it is changed to, and for no more.
    let limits = Limits { services: 5, slots: 6, backends: 8, frontends: 4, source_ranges: 4 };
    let (mut state, mut model) = (State::new(limits), Model::default());
    let lists: [(&[u8], &[u8]); 6] =
        [(&[1, 2], &[1, 2]), (&[], &[]), (&[3, 4], &[5, 6]), (&[5, 6], &[]), (&[1], &[2]), (&[1], &[1])];
    for round in 0..40 {
        now += GRACE;
        let (internal, external) = lists[round % lists.len()];
        let mut tables = Tables::default();
        add(&mut tables, 1 + round / 7 % 2, internal, external, FrontendKind::NodePort);
        sync(&mut state, &mut model, &tables, now);
    }
}

#[test]
fn what_is_refused_leaves_no_gap_among_the_backends() {
    let now = Instant::now();
    let limits = Limits { services: 8, slots: 3, backends: 8, frontends: 8, source_ranges: 4 };
    let (mut state, mut model, mut tables) = (State::new(limits), Model::default(), Tables::default());
    service(&mut tables, 1, &[1, 2, 3, 4]);
    assert_eq!(state.plan(&tables, now).refusals, [Refusal::Slots(name(1), 3)]);
    let mut tables = Tables::default();
    service(&mut tables, 2, &[1]);
    model
        .contents
        .frontends
        .insert(FrontendKey::of_address(virtual_address(Family::V4, 1)), frontend::Frontend::default());
    sync(&mut state, &mut model, &tables, now);
}
