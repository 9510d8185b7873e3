//! Plans, applied write by write to a model of the maps: after every single one, every frontend
//! leads to the list it had or to the one it gets, and no flow has lost a backend that it is to keep.

use super::*;
use crate::{
    compile::{Lists, Protocol, Target, Weighted},
    dataplane::{
        index::GRACE,
        state::{Contents, Limits},
    },
};
use proptest::prelude::*;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

const LIMITS: Limits = Limits { services: 64, slots: 4096, backends: 4096, frontends: 256 };

/// The maps, and what must be remembered of them to tell a wrong write.
#[derive(Default)]
struct Model {
    contents: Contents,
    /// When each slot was last part of a list in force.
    slots_in_force: HashMap<u32, Instant>,
    /// When each backend index was last live.
    backends_in_force: HashMap<(Family, u32), Instant>,
    generations: HashSet<(Family, u32, u32)>,
    /// Whether every program has ended that may have seen what was in force before.
    waited: bool,
}

/// Where a frontend leads (what new connections get), and its flags.
type Destination = ([Vec<SocketAddr>; 2], u32);

/// A live backend's index and generation, by the service and the endpoint.
type Live = BTreeMap<(Arc<ServicePort>, SocketAddr), (u32, u32)>;

/// The agent dies.
#[derive(Debug)]
struct Death;

impl Sink for Run<'_> {
    type Error = Death;

    fn set_names(&mut self, names: &[(u32, Arc<ServicePort>)]) -> Result<(), Death> {
        self.each(names, |model, _, (id, name)| {
            assert_eq!(
                model.contents.names.insert(*id, Some(Arc::clone(name))),
                None,
                "{id} has a name already"
            );
        })
    }

    fn set_backends(&mut self, backends: &[(u32, Backend)]) -> Result<(), Death> {
        self.each(backends, |model, now, (index, backend)| {
            let family = Family::of(backend.endpoint.ip());
            let fresh = model.generations.insert((family, *index, backend.generation));
            assert!(fresh, "{family} backend {index} has its generation for the second time: {backend:?}");
            assert!(backend.is_live() || model.waited, "a program may still choose {backend:?}");
            if backend.is_live() {
                let last = model.backends_in_force.get(&(family, *index));
                assert!(
                    last.is_none_or(|last| now - *last >= GRACE),
                    "{family} backend {index} did not rest"
                );
            }
            let backends = model.contents.backends.of_mut(family);
            if let Some(old) = backends.get_mut(*index as usize) {
                *old = *backend;
            } else {
                assert_eq!(*index as usize, backends.len(), "there is a gap before {backend:?}");
                backends.push(*backend);
            }
        })
    }

    fn set_slots(&mut self, slots: &[(u32, u32)]) -> Result<(), Death> {
        self.each(slots, |model, now, (slot, backend)| {
            let last = model.slots_in_force.get(slot);
            assert!(last.is_none_or(|last| now - *last >= GRACE), "slot {slot} did not rest");
            model.contents.slots.insert(*slot, *backend);
        })
    }

    fn set_services(&mut self, services: &[(u32, Service)]) -> Result<(), Death> {
        self.each(services, |model, _, (id, service)| {
            model.waited = false;
            model.contents.services.insert(*id, *service);
        })
    }

    fn set_frontends(&mut self, frontends: &[(FrontendKey, frontend::Frontend)]) -> Result<(), Death> {
        self.each(frontends, |model, _, (key, frontend)| {
            model.contents.frontends.insert(*key, *frontend);
        })
    }

    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), Death> {
        self.each(keys, |model, _, key| {
            model.waited = false;
            assert!(model.contents.frontends.remove(key).is_some(), "there is no {key:?}");
        })
    }

    fn wait_for_programs(&mut self) {
        self.model.waited = true;
    }

    fn remove_services(&mut self, ids: &[u32]) -> Result<(), Death> {
        self.each(ids, |model, _, id| {
            assert!(model.waited, "a program may still look up service {id}");
            model.contents.services.remove(id);
        })
    }

    fn remove_names(&mut self, ids: &[u32]) -> Result<(), Death> {
        self.each(ids, |model, _, id| {
            model.contents.names.remove(id);
        })
    }
}

/// A plan on its way to a model.
struct Run<'a> {
    model: &'a mut Model,
    now: Instant,
    /// After how many writes the agent dies.
    death: usize,
    /// What to look for after every write.
    watch: Option<Watch>,
}

/// Where every frontend may lead.
struct Watch {
    before: BTreeMap<FrontendKey, Destination>,
    wanted: BTreeMap<FrontendKey, Destination>,
    /// The new lists of the services to which frontends led before: one that moves to another
    /// service may see the first one's new list before it does.
    moving: BTreeMap<FrontendKey, [Vec<SocketAddr>; 2]>,
    /// The backends that there were and that are still wanted, be it by the flows that they have.
    kept: Live,
}

impl Run<'_> {
    fn each<T: std::fmt::Debug>(
        &mut self,
        elements: &[T],
        write: impl Fn(&mut Model, Instant, &T),
    ) -> Result<(), Death> {
        for element in elements {
            self.death = self.death.checked_sub(1).ok_or(Death)?;
            write(self.model, self.now, element);
            if let Some(watch) = &self.watch {
                self.model.remember(self.now);
                watch.look(&self.model.destinations(), element);
                let live = self.model.live();
                for (backend, place) in &watch.kept {
                    assert_eq!(live.get(backend), Some(place), "flows lose {backend:?} by {element:?}");
                }
            }
        }
        Ok(())
    }
}

impl Watch {
    fn look(&self, after: &BTreeMap<FrontendKey, Destination>, written: &dyn std::fmt::Debug) {
        for (key, (lists, flags)) in after {
            let known = [self.before.get(key), self.wanted.get(key)].into_iter().flatten();
            let mut expected = known.clone().map(|(lists, _)| lists).chain(self.moving.get(key));
            assert!(expected.any(|it| it == lists), "{key:?} leads to {lists:?} after {written:?}");
            let mut expected = known.map(|(_, flags)| flags);
            assert!(expected.any(|it| it == flags), "{key:?} has flags {flags} after {written:?}");
        }
        for key in self.before.keys().filter(|key| self.wanted.contains_key(key)) {
            assert!(after.contains_key(key), "{key:?} is gone after {written:?}");
        }
        // An address comes when all its frontends are there, and goes before any of them.
        for address in after.keys().filter(|key| key.is_address()) {
            let of_address = |key: &&FrontendKey| key.address == address.address;
            let mut expected: Vec<&FrontendKey> = Vec::new();
            if !self.before.contains_key(address) {
                expected.extend(self.wanted.keys().filter(of_address));
            }
            if !self.wanted.contains_key(address) {
                expected.extend(self.before.keys().filter(of_address));
            }
            for key in expected {
                assert!(after.contains_key(key), "{address:?} is there without {key:?} after {written:?}");
            }
        }
    }
}

impl Model {
    /// Writes a plan, or its first writes.
    fn apply(&mut self, plan: &Plan, tables: &Tables, now: Instant, death: usize) -> Result<(), Death> {
        let before = self.destinations();
        let moving = self.contents.frontends.iter().filter_map(|(key, frontend)| {
            let name = self.contents.names.get(&frontend.service)?.as_ref()?;
            tables.services.get(name).map(|service| (*key, listed(&service.lists)))
        });
        let moving = moving.collect();
        let mut kept = self.live();
        kept.retain(|(name, endpoint), _| {
            tables.services.get(name).is_some_and(|service| {
                service.lists.usable().contains(endpoint) || service.lists.draining.contains(endpoint)
            })
        });
        let watch = Some(Watch { before, moving, kept, wanted: destinations(tables) });
        plan.apply(&mut Run { model: self, now, death, watch })
    }

    fn remember(&mut self, now: Instant) {
        for service in self.contents.services.values() {
            for range in [service.cluster, service.local] {
                self.slots_in_force.extend((range.first..range.first + range.length).map(|slot| (slot, now)));
            }
        }
        for family in [Family::V4, Family::V6] {
            let backends = (0..).zip(self.contents.backends.of(family));
            let live = backends.filter(|(_, backend)| backend.is_live());
            self.backends_in_force.extend(live.map(|(index, _)| ((family, index), now)));
        }
    }

    /// Follows every frontend, as a program does.
    fn destinations(&self) -> BTreeMap<FrontendKey, Destination> {
        let follow = |(key, frontend): (&FrontendKey, &frontend::Frontend)| {
            if key.is_address() {
                return (*key, (Default::default(), frontend.flags));
            }
            let service = self.contents.services[&frontend.service];
            let list = |range: SlotRange| {
                let slots = range.first..range.first + range.length;
                let backend = |slot| {
                    let index = self.contents.slots[&slot];
                    let backend = self.contents.backends.of(key.family())[index as usize];
                    assert!(backend.is_live(), "{key:?} leads to a removed backend: {backend:?}");
                    assert_eq!(
                        backend.service, frontend.service,
                        "{key:?}: {backend:?} is another service's"
                    );
                    backend.endpoint
                };
                slots.map(backend).collect()
            };
            (*key, ([list(service.cluster), list(service.local)], frontend.flags))
        };
        self.contents.frontends.iter().map(follow).collect()
    }

    /// Every live backend.
    fn live(&self) -> Live {
        let mut live = Live::new();
        for family in [Family::V4, Family::V6] {
            let backends =
                (0..).zip(self.contents.backends.of(family)).filter(|(_, backend)| backend.is_live());
            live.extend(backends.filter_map(|(index, backend)| {
                let name = self.contents.names.get(&backend.service)?.as_ref()?;
                Some(((Arc::clone(name), backend.endpoint), (index, backend.generation)))
            }));
        }
        live
    }

    /// Everything that is in force is what the tables have, and nothing else is left.
    fn assert_is(&self, tables: &Tables) {
        assert_eq!(self.destinations(), destinations(tables));
        let names: BTreeSet<_> = self.contents.names.values().flatten().collect();
        assert_eq!(names, tables.services.keys().collect());
        assert!(self.contents.services.keys().eq(self.contents.names.keys()));
        let mut live = self.live();
        let families = [Family::V4, Family::V6];
        let in_use = families.iter().flat_map(|family| self.contents.backends.of(*family));
        assert_eq!(in_use.filter(|backend| backend.is_live()).count(), live.len());
        // A backend that drains is there only if it was before.
        live.retain(|(name, endpoint), _| !tables.services[name].lists.draining.contains(endpoint));
        let endpoints = |(name, compile::Service { lists, .. }): (&Arc<ServicePort>, &compile::Service)| {
            let endpoints: BTreeSet<_> = listed(lists).concat().into_iter().collect();
            let endpoints = endpoints.difference(&lists.draining);
            endpoints.map(|endpoint| (Arc::clone(name), *endpoint)).collect::<Vec<_>>()
        };
        assert!(live.into_keys().eq(tables.services.iter().flat_map(endpoints)));
    }
}

/// What new connections get.
fn listed(lists: &Lists) -> [Vec<SocketAddr>; 2] {
    [&lists.cluster, &lists.local].map(|list| list.iter().map(|it| it.endpoint).collect())
}

/// Where the tables want every frontend to lead.
fn destinations(tables: &Tables) -> BTreeMap<FrontendKey, Destination> {
    let frontends = tables.frontends.iter().map(|(place, target)| {
        let lists = listed(&tables.services[&target.service].lists);
        let external = target.kind == FrontendKind::NodePort;
        (place.into(), (lists, if external { frontend::Frontend::EXTERNAL } else { 0 }))
    });
    let addresses = tables.addresses.iter().map(|(address, ownership)| {
        let flags = if *ownership == Ownership::ClusterIp { frontend::Frontend::VIRTUAL } else { 0 };
        (FrontendKey::of_address(*address), (Default::default(), flags))
    });
    frontends.chain(addresses).collect()
}

fn name(number: usize) -> Arc<ServicePort> {
    Arc::new(ServicePort {
        namespace: "default".to_owned(),
        name: format!("service-{number}"),
        port: String::new(),
        protocol: Protocol::Tcp,
        family: if number.is_multiple_of(3) { Family::V6 } else { Family::V4 },
    })
}

fn endpoint(family: Family, number: u8) -> SocketAddr {
    match family {
        Family::V4 => ([10, 0, 0, number], 8080).into(),
        Family::V6 => ([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)], 8080).into(),
    }
}

fn virtual_address(family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => [10, 96, 0, number].into(),
        Family::V6 => [0xfd96, 0, 0, 0, 0, 0, 0, u16::from(number)].into(),
    }
}

/// A service of the given number with lists of endpoints, and a frontend of its own.
fn add(tables: &mut Tables, number: usize, cluster: &[u8], local: &[u8], kind: FrontendKind) {
    let name = name(number);
    let weighted = |list: &[u8]| list.iter().map(|it| Weighted::from(endpoint(name.family, *it))).collect();
    let (cluster, local) = (weighted(cluster), weighted(local));
    let lists = Lists { cluster, local, ..Lists::default() };
    let service = compile::Service { lists, ..compile::Service::default() };
    let place =
        Frontend { address: virtual_address(name.family, number as u8), port: 80, protocol: Protocol::Tcp };
    let ownership = if kind == FrontendKind::ClusterIp { Ownership::ClusterIp } else { Ownership::Node };
    tables.addresses.insert(place.address, ownership);
    tables.frontends.insert(place, Target { service: Arc::clone(&name), kind });
    tables.services.insert(name, service);
}

fn service(tables: &mut Tables, number: usize, endpoints: &[u8]) {
    add(tables, number, endpoints, endpoints, FrontendKind::ClusterIp);
}

/// Has some endpoints of a service drain.
fn drain(tables: &mut Tables, number: usize, endpoints: &[u8]) {
    let name = name(number);
    let lists = &mut tables.services.get_mut(&name).unwrap().lists;
    lists.draining = endpoints.iter().map(|it| endpoint(name.family, *it)).collect();
}

fn many(count: usize) -> Tables {
    let mut tables = Tables::default();
    for number in 0..count {
        service(&mut tables, number, &[1, 2, 3]);
    }
    tables
}

/// Plans and applies, and asserts that nothing is left to do.
fn sync(state: &mut State, model: &mut Model, tables: &Tables, now: Instant) -> Plan {
    let plan = state.plan(tables, now);
    assert_eq!(plan.refusals, []);
    model.apply(&plan, tables, now, usize::MAX).unwrap();
    model.assert_is(tables);
    assert_eq!(state.plan(tables, now).writes(), 0, "a second sync has nothing to do");
    plan
}

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
    // A backend, three slots, the service, the removed backend; then two slots, the service, the
    // removed backend.
    assert_eq!(changes(2), (6, 4));
    assert_eq!(changes(60), (6, 4));
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
    let removed = state.services[&1].backends[&endpoint(Family::V4, 1)] as usize;
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
    // A slot and the service: no backend is removed.
    assert_eq!(sync(&mut state, &mut model, &tables, now).writes(), 2);
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

#[test]
fn numbers_run_out_and_come_back_after_the_grace_period() {
    let start = Instant::now();
    let limits = Limits { services: 3, slots: 6, backends: 4, frontends: 4 };
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
    let limits = Limits { services: 5, slots: 6, backends: 8, frontends: 4 };
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
    let limits = Limits { services: 8, slots: 3, backends: 8, frontends: 8 };
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

/// Services by number: their lists, what drains, and whether they have a NodePort.
type Spec = Vec<(usize, Vec<u8>, Option<Vec<u8>>, Vec<u8>, bool)>;

fn tables() -> impl Strategy<Value = Tables> {
    let list = || prop::collection::vec(1u8..6, 0..4);
    let service = (0usize..5, list(), prop::option::of(list()), list(), any::<bool>());
    (prop::collection::vec(service, 0..5), prop::collection::vec((0usize..5, 0usize..5), 0..2)).prop_map(
        |(services, aliases): (Spec, Vec<(usize, usize)>)| {
            let mut tables = Tables::default();
            for (number, internal, external, draining, node_port) in services {
                let external = external.as_deref().unwrap_or(&internal);
                let kind = if node_port { FrontendKind::NodePort } else { FrontendKind::ClusterIp };
                add(&mut tables, number, &internal, external, kind);
                drain(&mut tables, number, &draining);
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
        },
    )
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
        tables in tables(), other in tables(), damage in prop::collection::vec((0u8..6, 0usize..8, 0u32..12), 1..6),
    ) {
        let now = Instant::now();
        let (mut state, mut model) = (State::new(LIMITS), Model::default());
        sync(&mut state, &mut model, &tables, now);
        let contents = &mut model.contents;
        for (map, place, value) in damage {
            match map {
                0 => drop(contents.names.keys().nth(place).copied().map(|id| contents.names.remove(&id))),
                1 => drop(contents.services.keys().nth(place).copied().map(|id| contents.services.remove(&id))),
                2 => drop(contents.slots.values_mut().nth(place).map(|slot| *slot = value)),
                3 => drop(contents.backends.v4.get_mut(place).map(|backend| backend.service = value)),
                4 => drop(contents.frontends.values_mut().nth(place).map(|it| it.service = value)),
                _ => drop(contents.services.values_mut().nth(place).map(|it| it.local.first = value)),
            }
        }
        let generations = model.generations;
        let mut model = Model { contents: model.contents, generations, ..Model::default() };
        let mut state = State::adopt(&model.contents, LIMITS, now);
        let plan = state.plan(&other, now + GRACE);
        let now = now + GRACE;
        plan.apply(&mut Run { model: &mut model, now, death: usize::MAX, watch: None }).unwrap();
        model.assert_is(&other);
    }
}
