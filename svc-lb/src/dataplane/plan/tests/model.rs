//! A model of the maps that asserts, of every write, that it may come now.

use super::super::{Plan, Sink};
use crate::{
    compile::{self, Family, FrontendKind, Lists, Ownership, ServicePort, Tables, TrafficPolicy, Weighted},
    dataplane::{
        element::{Backend, FrontendKey, IN_CLUSTER, IN_LOCAL},
        index::GRACE,
        source_range::SourceRange,
        spread::spread,
        state::Contents,
    },
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};
use svc_lb_common::{
    frontend,
    service::{Service, SlotRange},
};

/// The maps, and what must be remembered of them to tell a wrong write.
#[derive(Default)]
pub struct Model {
    pub contents: Contents,
    /// When each slot was last part of a list in force.
    pub slots_in_force: HashMap<u32, Instant>,
    /// When each backend index was last live.
    pub backends_in_force: HashMap<(Family, u32), Instant>,
    pub generations: HashSet<(Family, u32, u32)>,
    /// Whether every program has ended that may have seen what was in force before.
    pub waited: bool,
}

/// A live backend's index and generation, by the service and the endpoint.
pub type Live = BTreeMap<(Arc<ServicePort>, SocketAddr), (u32, u32)>;

/// The agent dies.
#[derive(Debug)]
pub struct Death;

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

    fn put_backends(&mut self, backends: &[(u32, Backend)]) -> Result<(), Death> {
        self.each(backends, |model, now, (index, backend)| {
            let family = Family::of(backend.endpoint.ip());
            let fresh = model.generations.insert((family, *index, backend.generation));
            assert!(fresh, "{family} backend {index} has its generation for the second time: {backend:?}");
            assert!(backend.is_live());
            let last = model.backends_in_force.get(&(family, *index));
            assert!(last.is_none_or(|last| now - *last >= GRACE), "{family} backend {index} did not rest");
            let backends = model.contents.backends.of_mut(family);
            if let Some(old) = backends.get_mut(*index as usize) {
                *old = *backend;
            } else {
                assert_eq!(*index as usize, backends.len(), "there is a gap before {backend:?}");
                backends.push(*backend);
            }
        })
    }

    fn set_backends(&mut self, backends: &[(u32, Backend)]) -> Result<(), Death> {
        self.each(backends, |model, _, (index, backend)| {
            let family = Family::of(backend.endpoint.ip());
            let held = &mut model.contents.backends.of_mut(family)[*index as usize];
            if backend.is_live() {
                assert_eq!(*backend, Backend { flags: backend.flags, ..*held }, "only its flags change");
                // A program may have read a flag that it loses, and choose it for a client that comes back.
                model.waited &= backend.flags & held.flags == held.flags;
            } else {
                let fresh = model.generations.insert((family, *index, backend.generation));
                assert!(
                    fresh,
                    "{family} backend {index} has its generation for the second time: {backend:?}"
                );
                assert!(model.waited, "a program may still choose {backend:?}");
                let is_reached = model.contents.services.contains_key(&backend.service);
                assert!(!held.has(IN_CLUSTER | IN_LOCAL) || !is_reached, "clients come back to {held:?}");
            }
            *held = *backend;
        })
    }

    fn set_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Death> {
        self.each(ranges, |model, _, range| {
            assert!(model.contents.source_ranges.insert(*range), "{range:?} is there already");
        })
    }

    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Death> {
        self.each(ranges, |model, _, range| {
            assert!(model.waited, "a program may still look for {range:?}");
            assert!(model.contents.source_ranges.remove(range), "there is no {range:?}");
        })
    }

    fn set_slots(&mut self, slots: &[(u32, u32)]) -> Result<(), Death> {
        self.each(slots, |model, now, (slot, backend)| {
            let last = model.slots_in_force.get(slot);
            assert!(last.is_none_or(|last| now - *last >= GRACE), "slot {slot} did not rest");
            model.contents.add_slots(*slot, &[*backend]);
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
            model.waited = false;
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
pub struct Run<'a> {
    pub model: &'a mut Model,
    pub now: Instant,
    /// After how many writes the agent dies.
    pub death: usize,
    /// What to look for after every write.
    pub watch: Option<Watch>,
}

/// Where every frontend may lead.
pub struct Watch {
    before: BTreeMap<FrontendKey, Entrance>,
    wanted: BTreeMap<FrontendKey, Entrance>,
    /// The new destinations of the services to which frontends led before: one that moves to another
    /// service may see the first one's new list before it does.
    moving: BTreeMap<FrontendKey, Destination>,
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
                watch.look(&self.model.entrances(), element);
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
    fn look(&self, after: &BTreeMap<FrontendKey, Entrance>, written: &dyn std::fmt::Debug) {
        for (key, Entrance { flags, destination, sources }) in after {
            let mut known = [self.before.get(key), self.wanted.get(key)].into_iter().flatten();
            let mut expected = known.clone().map(|it| &it.destination).chain(self.moving.get(key));
            assert!(
                expected.any(|it| it == destination),
                "{key:?} leads to {destination:?} after {written:?}"
            );
            assert!(
                known.clone().any(|it| it.flags == *flags),
                "{key:?} has flags {flags} after {written:?}"
            );
            if let Some(sources) = sources {
                let mut expected = known.by_ref().filter_map(|it| it.sources.as_ref());
                assert!(
                    expected.any(|it| it.is_subset(sources)),
                    "{key:?} is for {sources:?} only after {written:?}"
                );
            }
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
    pub fn apply(&mut self, plan: &Plan, tables: &Tables, now: Instant, death: usize) -> Result<(), Death> {
        let before = self.entrances();
        let moving = self.contents.frontends.iter().filter_map(|(key, frontend)| {
            let name = self.contents.names.get(&frontend.service)?.as_ref()?;
            tables.services.get(name).map(|service| (*key, Destination::of(service)))
        });
        let moving = moving.collect();
        let mut kept = self.live();
        kept.retain(|(name, endpoint), _| {
            tables.services.get(name).is_some_and(|service| {
                service.lists.usable().contains(endpoint) || service.lists.draining.contains(endpoint)
            })
        });
        let watch = Some(Watch { before, moving, kept, wanted: entrances(tables) });
        plan.apply(&mut Run { model: self, now, death, watch })
    }

    /// Writes a plan, whatever it leads to meanwhile.
    pub fn apply_unwatched(&mut self, plan: &Plan, now: Instant) {
        plan.apply(&mut Run { model: self, now, death: usize::MAX, watch: None }).unwrap();
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
    pub fn entrances(&self) -> BTreeMap<FrontendKey, Entrance> {
        let follow = |(key, frontend): (&FrontendKey, &frontend::Frontend)| {
            if key.is_address() {
                return (*key, Entrance { flags: frontend.flags, ..Entrance::default() });
            }
            let service = self.contents.services[&frontend.service];
            let list = |range: SlotRange, flag| {
                let backend = |index: &u32| {
                    let backend = self.contents.backends.of(key.family())[*index as usize];
                    assert!(backend.is_live(), "{key:?} leads to a removed backend: {backend:?}");
                    assert!(backend.has(flag), "clients do not come back to {backend:?} by {key:?}");
                    assert_eq!(
                        backend.service, frontend.service,
                        "{key:?}: {backend:?} is another service's"
                    );
                    backend.endpoint
                };
                self.contents.slots(range).expect("slots").iter().map(backend).collect()
            };
            let destination = Destination {
                lists: [list(service.cluster, IN_CLUSTER), list(service.local, IN_LOCAL)],
                algorithm: service.algorithm,
                affinity_timeout: service.affinity_timeout,
                policies: service.flags,
            };
            let ranges = self.contents.source_ranges.iter().filter(|it| it.service == frontend.service);
            let limited = frontend.has(frontend::Frontend::LIMITED);
            let sources = limited.then(|| ranges.map(|it| it.range).collect());
            (*key, Entrance { flags: frontend.flags, destination, sources })
        };
        self.contents.frontends.iter().map(follow).collect()
    }

    /// Every live backend.
    pub fn live(&self) -> Live {
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
    pub fn assert_is(&self, tables: &Tables) {
        assert_eq!(self.entrances(), entrances(tables));
        let names: BTreeSet<_> = self.contents.names.values().flatten().collect();
        assert_eq!(names, tables.services.keys().collect());
        assert!(self.contents.services.keys().eq(self.contents.names.keys()));
        let mut live = self.live();
        let families = [Family::V4, Family::V6];
        let in_use = families.iter().flat_map(|family| self.contents.backends.of(*family));
        assert_eq!(in_use.filter(|backend| backend.is_live()).count(), live.len());
        for ((name, endpoint), (index, _)) in &live {
            let lists = &tables.services[name].lists;
            let is_in = |list: &[Weighted]| list.iter().any(|it| it.endpoint == *endpoint);
            let backend = self.contents.backends.of(name.family)[*index as usize];
            let flags = [IN_CLUSTER, IN_LOCAL].map(|flag| backend.has(flag));
            assert_eq!(flags, [is_in(&lists.cluster), is_in(&lists.local)], "{backend:?}");
        }
        // A backend that drains is there only if it was before.
        live.retain(|(name, endpoint), _| !tables.services[name].lists.draining.contains(endpoint));
        let endpoints = |(name, compile::Service { lists, .. }): (&Arc<ServicePort>, &compile::Service)| {
            let endpoints = lists.usable();
            let endpoints = endpoints.difference(&lists.draining);
            endpoints.map(|endpoint| (Arc::clone(name), *endpoint)).collect::<Vec<_>>()
        };
        assert!(live.into_keys().eq(tables.services.iter().flat_map(endpoints)));
        let ids: HashMap<_, _> = self.contents.names.iter().map(|(id, name)| (name.as_ref(), *id)).collect();
        let ranges = tables.services.iter().flat_map(|(name, service)| {
            let of_family = sources(service, name.family).into_iter().flatten();
            let id = ids[&Some(name)];
            of_family.map(move |range| SourceRange { service: id, range })
        });
        let cluster = tables.cluster_cidrs.iter().map(|range| SourceRange { service: 0, range: *range });
        assert_eq!(self.contents.source_ranges, ranges.chain(cluster).collect());
    }
}

/// Where a service leads new connections, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    lists: [Vec<SocketAddr>; 2],
    algorithm: u16,
    affinity_timeout: u32,
    policies: u16,
}

impl Destination {
    fn of(service: &compile::Service) -> Self {
        let Lists { cluster, local, .. } = &*service.lists;
        let list = |list: &[Weighted]| {
            let positions = spread(list, service.algorithm).into_iter();
            positions.map(|position| list[position as usize].endpoint).collect()
        };
        let policies = [
            (service.internal_policy, Service::INTERNAL_LOCAL),
            (service.external_policy, Service::EXTERNAL_LOCAL),
        ];
        Self {
            lists: [list(cluster), list(local)],
            algorithm: service.algorithm as u16,
            affinity_timeout: service.affinity_timeout,
            policies: policies
                .iter()
                .filter(|(it, _)| *it == TrafficPolicy::Local)
                .map(|(_, flag)| flag)
                .sum(),
        }
    }
}

/// Who comes in by a frontend, and where it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entrance {
    flags: u32,
    destination: Destination,
    /// The only sources that may use it.
    sources: Option<BTreeSet<IpNet>>,
}

/// The sources of a family that may use a service, if not all may.
fn sources(service: &compile::Service, family: Family) -> Option<BTreeSet<IpNet>> {
    let of_family = |range: &&IpNet| Family::of(range.addr()) == family;
    service.source_ranges.as_ref().map(|ranges| ranges.iter().filter(of_family).copied().collect())
}

/// What the tables want of every frontend.
fn entrances(tables: &Tables) -> BTreeMap<FrontendKey, Entrance> {
    use frontend::Frontend;
    let frontends = tables.frontends.iter().map(|(place, target)| {
        let service = &tables.services[&target.service];
        let is_limited = target.kind == FrontendKind::LoadBalancer && service.source_ranges.is_some();
        let flags = match target.kind {
            FrontendKind::ClusterIp => 0,
            FrontendKind::NodePort => Frontend::EXTERNAL,
            FrontendKind::ExternalIp => Frontend::EXTERNAL | Frontend::EXTERNAL_IP,
            FrontendKind::LoadBalancer => Frontend::EXTERNAL | Frontend::LOAD_BALANCER,
        };
        let is_virtual = tables.addresses[&place.address] != Ownership::Node;
        let of_address = if is_virtual { Frontend::VIRTUAL } else { 0 };
        let entrance = Entrance {
            flags: flags | of_address | if is_limited { Frontend::LIMITED } else { 0 },
            destination: Destination::of(service),
            sources: if is_limited { sources(service, target.service.family) } else { None },
        };
        (place.into(), entrance)
    });
    let addresses = tables.addresses.iter().map(|(address, ownership)| {
        let flags = match ownership {
            Ownership::ClusterIp => Frontend::VIRTUAL,
            Ownership::External => Frontend::VIRTUAL | Frontend::EXTERNAL,
            Ownership::Node => 0,
        };
        (FrontendKey::of_address(*address), Entrance { flags, ..Entrance::default() })
    });
    frontends.chain(addresses).collect()
}
