//! What holds whatever changes.

use super::{
    LIMITS, Model,
    fixtures::{add, drain, name},
    sync,
};
use crate::{
    compile::{Algorithm, FrontendKind, Tables, TrafficPolicy},
    dataplane::{index::GRACE, source_range::SourceRange, state::State},
};
use ipnet::IpNet;
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// A service: its number, its lists, what drains, its frontend's kind, its weights by turns, how it is
/// balanced, and its ranges of sources.
type Spec =
    (usize, Vec<u8>, Option<Vec<u8>>, Vec<u8>, FrontendKind, Vec<u8>, Balance, Option<BTreeSet<IpNet>>);
/// An algorithm, policies, and the timeout of affinity.
type Balance = (Algorithm, TrafficPolicy, TrafficPolicy, u32);

fn kind() -> impl Strategy<Value = FrontendKind> {
    use FrontendKind::*;
    prop_oneof![Just(ClusterIp), Just(NodePort), Just(LoadBalancer), Just(ExternalIp)]
}

fn balance() -> impl Strategy<Value = Balance> {
    use Algorithm::*;
    // Not Maglev, whose tables are long: they are lists as all others are.
    let algorithm = prop_oneof![3 => Just(RoundRobin), 1 => Just(Random), 1 => Just(LeastConnections)];
    let policy = || prop_oneof![Just(TrafficPolicy::Cluster), Just(TrafficPolicy::Local)];
    (algorithm, policy(), policy(), 0u32..2)
}

fn ranges() -> impl Strategy<Value = BTreeSet<IpNet>> {
    const RANGES: [&str; 5] = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32", "fd00::/8", "::/0"];
    prop::sample::subsequence(RANGES.to_vec(), 0..4)
        .prop_map(|ranges| ranges.into_iter().map(|range| range.parse().unwrap()).collect())
}

fn spec() -> impl Strategy<Value = Spec> {
    let list = || prop::collection::vec(1u8..6, 0..4);
    let weights = prop_oneof![2 => Just(vec![1]), 1 => prop::collection::vec(1u8..4, 1..4)];
    (
        0usize..5,
        list(),
        prop::option::of(list()),
        list(),
        kind(),
        weights,
        balance(),
        prop::option::of(ranges()),
    )
}

fn tables() -> impl Strategy<Value = Tables> {
    let aliases = prop::collection::vec((0usize..5, 0usize..5), 0..2);
    (prop::collection::vec(spec(), 0..5), aliases, ranges()).prop_map(|(specs, aliases, cluster_cidrs)| {
        let mut tables = Tables { cluster_cidrs, ..Tables::default() };
        for (number, cluster, local, draining, kind, weights, balance, source_ranges) in specs {
            add(&mut tables, number, &cluster, local.as_deref().unwrap_or(&cluster), kind);
            drain(&mut tables, number, &draining);
            let service = tables.services.get_mut(&name(number)).unwrap();
            let lists = Arc::make_mut(&mut service.lists);
            for list in [&mut lists.cluster, &mut lists.local] {
                list.iter_mut().zip(weights.iter().cycle()).for_each(|(it, weight)| it.weight = *weight);
            }
            (service.algorithm, service.internal_policy, service.external_policy, service.affinity_timeout) =
                balance;
            service.source_ranges = source_ranges;
        }
        // A frontend that moves from one service to another of its family.
        for (from, to) in aliases {
            let (from, to) = (name(from), name(to));
            if from.family == to.family && tables.services.contains_key(&to) {
                for target in tables.frontends.values_mut().filter(|target| target.service == from) {
                    target.service = Arc::clone(&to);
                }
            }
        }
        tables
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Through any changes, however quick one behind the other, and through an agent that dies
    /// after any write and is followed by another.
    #[test]
    fn every_frontend_leads_to_its_old_or_its_new_list_and_flows_keep_their_backends_after_every_write(
        steps in prop::collection::vec((tables(), 0u64..4, prop::option::of(0usize..30)), 1..8),
    ) {
        let mut now = Instant::now();
        let (mut state, mut model) = (State::new(LIMITS), Model::default());
        for (tables, seconds, death) in steps {
            now += Duration::from_secs(seconds);
            if let Some(after) = death {
                let plan = state.plan(&tables, now);
                let _ = model.apply(&plan, &tables, now, after);
                // The next agent needs longer to start than any program runs.
                now += GRACE;
                state = State::adopt(&model.contents, LIMITS, now);
            } else {
                sync(&mut state, &mut model, &tables, now);
                let mut next = State::adopt(&model.contents, LIMITS, now);
                prop_assert_eq!(next.plan(&tables, now).writes(), 0, "the next agent finds nothing to do");
            }
        }
    }

    /// Whatever the maps hold, the next sync makes it right.
    #[test]
    fn damaged_maps_are_made_right(
        tables in tables(), other in tables(), damage in prop::collection::vec((0u8..8, 0usize..8, 0u32..12), 1..6),
    ) {
        let now = Instant::now();
        let (mut state, mut model) = (State::new(LIMITS), Model::default());
        sync(&mut state, &mut model, &tables, now);
        let contents = &mut model.contents;
        for (map, place, value) in damage {
            match map {
                0 => drop(contents.names.keys().nth(place).copied().map(|id| contents.names.remove(&id))),
                1 => drop(contents.services.keys().nth(place).copied().map(|id| contents.services.remove(&id))),
                2 => drop(contents.slots.get_mut(place).map(|slot| *slot = value)),
                3 => drop(contents.backends.v4.get_mut(place).map(|backend| backend.service = value)),
                4 => drop(contents.backends.v4.get_mut(place).map(|backend| backend.flags ^= value as u16 & 6)),
                5 => drop(contents.source_ranges.insert(SourceRange {
                    service: value,
                    range: ["10.7.0.0/16", "fd07::/16"][place % 2].parse().unwrap(),
                })),
                6 => drop(contents.frontends.values_mut().nth(place).map(|it| it.service = value)),
                _ => drop(contents.services.values_mut().nth(place).map(|it| it.local.first = value)),
            }
        }
        let generations = model.generations;
        let mut model = Model { contents: model.contents, generations, ..Model::default() };
        let mut state = State::adopt(&model.contents, LIMITS, now);
        let plan = state.plan(&other, now + GRACE);
        let now = now + GRACE;
        model.apply_unwatched(&plan, now);
        model.assert_is(&other);
    }
}
