//! Sources that may use a service.

use super::{
    LIMITS, Model,
    fixtures::{add, name, service},
    sync,
};
use crate::{
    compile::{FrontendKind, Tables},
    dataplane::{
        index::GRACE,
        plan::Refusal,
        state::{Limits, State},
    },
};
use std::{collections::BTreeSet, time::Instant};
use svc_lb_common::frontend::Frontend;

/// A load balancer's service that is for some ranges only.
fn limited(tables: &mut Tables, number: usize, ranges: &[&str]) {
    add(tables, number, &[1], &[1], FrontendKind::LoadBalancer);
    let ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
    tables.services.get_mut(&name(number)).unwrap().source_ranges = Some(ranges);
}

/// The ranges in force, as text.
fn in_force(model: &Model) -> BTreeSet<(u32, String)> {
    model.contents.source_ranges.iter().map(|it| (it.service, it.range.to_string())).collect()
}

#[test]
fn a_frontend_is_limited_while_its_ranges_are_there() {
    let now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), Tables::default());
    limited(&mut tables, 1, &["10.0.0.0/8", "192.0.2.1/32"]);
    sync(&mut state, &mut model, &tables, now);
    limited(&mut tables, 1, &["10.0.0.0/8", "198.51.100.0/24"]);
    assert_eq!(sync(&mut state, &mut model, &tables, now).writes(), 2, "one comes, one goes");
    limited(&mut tables, 1, &[]);
    sync(&mut state, &mut model, &tables, now);
    let limits =
        |model: &Model| model.contents.frontends.values().filter(|it| it.has(Frontend::LIMITED)).count();
    assert_eq!((in_force(&model).len(), limits(&model)), (0, 1), "it is for nobody");
    tables.services.get_mut(&name(1)).unwrap().source_ranges = None;
    assert_eq!(sync(&mut state, &mut model, &tables, now).writes(), 1);
    assert_eq!(limits(&model), 0);
}

#[test]
fn a_service_has_the_ranges_of_its_family_as_networks() {
    let now = Instant::now();
    let (mut state, mut model, mut tables) = (State::new(LIMITS), Model::default(), Tables::default());
    limited(&mut tables, 1, &["10.1.2.3/8", "10.4.5.6/8", "fd00::/8"]);
    tables.cluster_cidrs = ["10.244.0.9/16", "fd44::/16"].map(|range| range.parse().unwrap()).into();
    let plan = state.plan(&tables, now);
    model.apply_unwatched(&plan, now);
    let expected = [(0, "10.244.0.0/16"), (0, "fd44::/16"), (1, "10.0.0.0/8")];
    assert_eq!(in_force(&model), expected.map(|(id, range)| (id, range.to_owned())).into());
    assert_eq!(state.plan(&tables, now).writes(), 0);
}

#[test]
fn an_id_that_is_given_again_inherits_no_range() {
    let mut now = Instant::now();
    let limits = Limits { services: 2, ..LIMITS };
    let (mut state, mut model, mut tables) = (State::new(limits), Model::default(), Tables::default());
    limited(&mut tables, 1, &["10.0.0.0/8"]);
    sync(&mut state, &mut model, &tables, now);
    // Its ranges are all that is left of it.
    let mut left = Model::default();
    left.contents.source_ranges = model.contents.source_ranges;
    let mut model = left;
    now += GRACE;
    let mut next = State::adopt(&model.contents, limits, now);
    let mut tables = Tables::default();
    sync(&mut next, &mut model, &tables, now);
    assert_eq!(in_force(&model), BTreeSet::new());
    service(&mut tables, 2, &[1]);
    sync(&mut next, &mut model, &tables, now + GRACE);
    assert_eq!(next.names[&name(2)], 1);
}

#[test]
fn ranges_that_do_not_fit_change_nothing() {
    let now = Instant::now();
    let limits = Limits { source_ranges: 3, ..LIMITS };
    let (mut state, mut model, mut tables) = (State::new(limits), Model::default(), Tables::default());
    limited(&mut tables, 1, &["10.0.0.0/8", "192.0.2.1/32"]);
    limited(&mut tables, 3, &["fd00::/8", "fd01::/16", "fd02::/16"]);
    sync(&mut state, &mut model, &tables, now);
    let before = tables.clone();
    limited(&mut tables, 1, &["10.1.0.0/16", "10.2.0.0/16"]);
    let plan = state.plan(&tables, now);
    assert_eq!(
        plan.refusals,
        [Refusal::SourceRanges(name(1), 3)],
        "the old ones are there until the new ones are"
    );
    model.apply(&plan, &before, now, usize::MAX).unwrap();
    model.assert_is(&before);
    let mut tables = before.clone();
    tables.cluster_cidrs = ["10.1.0.0/16", "10.2.0.0/16"].map(|range| range.parse().unwrap()).into();
    assert_eq!(state.plan(&tables, now).refusals, [Refusal::ClusterRanges(3)]);
    // What goes makes room for what comes with the next sync.
    let mut tables = before;
    limited(&mut tables, 1, &["10.1.0.0/16"]);
    sync(&mut state, &mut model, &tables, now);
    limited(&mut tables, 1, &["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]);
    sync(&mut state, &mut model, &tables, now);
}
