//! What the maps hold, as the agent knows it: the writes of the next sync are the difference to this.

use super::{
    element::{Backend, FrontendKey},
    index::{Indexes, Ranges},
    source_range::SourceRange,
};
use crate::compile::{self, Family, ServicePort};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};
use svc_lb_common::{
    frontend::Frontend,
    service::{Service, SlotRange},
    source_range::CLUSTER,
};

/// One thing for each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerFamily<T> {
    /// IPv4's.
    pub v4: T,
    /// IPv6's.
    pub v6: T,
}

impl<T> PerFamily<T> {
    /// A family's.
    pub fn of(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// A family's, to change it.
    pub fn of_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// How much the maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Service ids; the first one is 1.
    pub services: u32,
    /// Slots.
    pub slots: u32,
    /// Backends of one family.
    pub backends: u32,
    /// Frontends and addresses of one family.
    pub frontends: u32,
    /// Ranges of sources of one family.
    pub source_ranges: u32,
}

/// What was found in the maps.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// `SERVICE_NAMES`; `None` for a name that no agent wrote.
    pub names: BTreeMap<u32, Option<Arc<ServicePort>>>,
    /// `SERVICES`.
    pub services: BTreeMap<u32, Service>,
    /// `SLOTS`, as far as services refer to it: what lies between and behind does not matter.
    pub slots: Vec<u32>,
    /// `BACKENDS_V4/6`, up to the last one that was ever used.
    pub backends: PerFamily<Vec<Backend>>,
    /// `FRONTENDS_V4/6`.
    pub frontends: BTreeMap<FrontendKey, Frontend>,
    /// `SOURCE_RANGES_V4/6`.
    pub source_ranges: BTreeSet<SourceRange>,
}

impl Contents {
    /// Adds a part of `SLOTS`.
    pub fn add_slots(&mut self, first: u32, slots: &[u32]) {
        let range = first as usize..first as usize + slots.len();
        if self.slots.len() < range.end {
            self.slots.resize(range.end, 0);
        }
        self.slots[range].copy_from_slice(slots);
    }

    /// A part of `SLOTS`; `None` if there is no such part.
    pub fn slots(&self, range: SlotRange) -> Option<&[u32]> {
        let first = range.first as usize;
        self.slots.get(first..first.checked_add(range.length as usize)?)
    }
}

/// The maps' contents, and which numbers are free.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) limits: Limits,
    pub(super) ids: Indexes,
    pub(super) slots: Ranges,
    pub(super) backends: PerFamily<Backends>,
    /// By service id. An id without a name is what an interrupted sync left.
    pub(super) services: BTreeMap<u32, Box<Entry>>,
    pub(super) names: HashMap<Arc<ServicePort>, u32>,
    pub(super) frontends: HashMap<FrontendKey, Frontend>,
    pub(super) frontend_counts: PerFamily<u32>,
    /// The ranges whose sources are inside the cluster.
    pub(super) cluster_ranges: BTreeSet<IpNet>,
    /// How many ranges of sources there are.
    pub(super) range_counts: PerFamily<u32>,
    /// Live backends that no service has: what a damaged map may hold.
    pub(super) strays: Vec<(u32, Backend)>,
}

/// The backend indexes of one family.
#[derive(Clone, Debug)]
pub(super) struct Backends {
    pub indexes: Indexes,
    /// Of every index that was ever used.
    pub generations: Vec<u32>,
}

/// One service id.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// What it stands for.
    pub name: Option<Arc<ServicePort>>,
    /// Its element of `SERVICES`; `None` if it has none or a damaged one.
    pub service: Option<Service>,
    /// The backend indexes in the slots of its two lists.
    pub lists: [Vec<u32>; 2],
    /// Its live backends.
    pub backends: BTreeMap<EndpointKey, Held>,
    /// The ranges of sources that it has.
    pub source_ranges: BTreeSet<IpNet>,
    /// What all this was made from; `None` if another agent made it.
    pub applied: Option<compile::Service>,
}

/// Where a backend is, in two thirds of the memory of a [`SocketAddr`], and in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndpointKey(IpAddr, u16);

impl From<SocketAddr> for EndpointKey {
    fn from(endpoint: SocketAddr) -> Self {
        Self(endpoint.ip(), endpoint.port())
    }
}

impl From<EndpointKey> for SocketAddr {
    fn from(EndpointKey(address, port): EndpointKey) -> Self {
        Self::new(address, port)
    }
}

/// A live backend, as its map holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Its index.
    pub index: u32,
    /// Its flags.
    pub flags: u16,
}

impl Entry {
    /// The slots that it has, and the list in them. A range that two lists share comes once, an
    /// empty one not at all.
    pub fn ranges(&self) -> impl Iterator<Item = (SlotRange, &[u32])> {
        let ranges = self.service.into_iter().flat_map(|service| {
            let shared = service.cluster == service.local;
            [Some(service.cluster), (!shared).then_some(service.local)]
        });
        let lists = self.lists.iter().map(Vec::as_slice);
        ranges
            .zip(lists)
            .filter_map(|(range, list)| Some((range?, list)))
            .filter(|(_, list)| !list.is_empty())
    }
}

impl State {
    /// The state of empty maps.
    pub fn new(limits: Limits) -> Self {
        let backends = Backends { indexes: Indexes::new(0..limits.backends), generations: Vec::new() };
        Self {
            limits,
            ids: Indexes::new(1..limits.services),
            slots: Ranges::new(limits.slots),
            backends: PerFamily { v4: backends.clone(), v6: backends },
            services: BTreeMap::new(),
            names: HashMap::new(),
            frontends: HashMap::new(),
            frontend_counts: PerFamily::default(),
            cluster_ranges: BTreeSet::new(),
            range_counts: PerFamily::default(),
            strays: Vec::new(),
        }
    }

    /// The state of maps that an earlier agent wrote, perhaps not to the end: whatever does not fit
    /// together counts as not there, so that the next sync writes or removes it.
    pub fn adopt(contents: &Contents, limits: Limits, now: Instant) -> Self {
        let mut state = Self::new(limits);
        for (&id, name) in &contents.names {
            let known = name.as_ref().is_some_and(|name| state.names.contains_key(name));
            let name = name.clone().filter(|_| !known);
            if let Some(name) = &name {
                state.names.insert(Arc::clone(name), id);
            }
            state.services.insert(id, Box::new(Entry { name, ..Entry::default() }));
        }
        for (&id, &service) in &contents.services {
            let lists = state.claim(id, &service, contents, now);
            let entry = state.services.entry(id).or_default();
            entry.service = lists.is_some().then_some(service);
            entry.lists = lists.unwrap_or_default();
        }
        for family in [Family::V4, Family::V6] {
            state.adopt_backends(contents.backends.of(family), family, now);
        }
        for it in &contents.source_ranges {
            let ranges = match it.service {
                CLUSTER => &mut state.cluster_ranges,
                // Of an id that nobody has they go with the next sync, before anybody gets it.
                id => &mut state.services.entry(id).or_default().source_ranges,
            };
            ranges.insert(it.range);
            *state.range_counts.of_mut(it.family()) += 1;
        }
        let end = state.services.keys().next_back().map_or(0, |id| id.saturating_add(1));
        state.ids.adopt(end, |id| state.services.contains_key(&id), now);
        for (&key, &frontend) in &contents.frontends {
            state.frontends.insert(key, frontend);
            *state.frontend_counts.of_mut(key.family()) += 1;
        }
        state
    }

    /// Claims the ranges of a service and reads its lists; `None` if they cannot be as they are.
    fn claim(
        &mut self,
        id: u32,
        service: &Service,
        contents: &Contents,
        now: Instant,
    ) -> Option<[Vec<u32>; 2]> {
        let Service { cluster, local, .. } = *service;
        let lists = [contents.slots(cluster)?.to_vec(), contents.slots(local)?.to_vec()];
        let shared = cluster == local;
        if cluster.cursor != cursors(id)[0] || local.cursor != cursors(id)[usize::from(!shared)] {
            return None;
        }
        let mut claim = |range: SlotRange| range.length == 0 || self.slots.claim(range.first, range.length);
        if !claim(cluster) {
            return None;
        }
        if !shared && !claim(local) {
            self.slots.give_back(cluster.first, cluster.length, now);
            return None;
        }
        Some(lists)
    }

    fn adopt_backends(&mut self, found: &[Backend], family: Family, now: Instant) {
        let mut live = BTreeSet::new();
        for (index, backend) in (0..).zip(found).filter(|(_, backend)| backend.is_live()) {
            live.insert(index);
            match self.services.get_mut(&backend.service) {
                Some(entry) if !entry.backends.contains_key(&backend.endpoint.into()) => {
                    entry.backends.insert(backend.endpoint.into(), Held { index, flags: backend.flags });
                }
                _ => self.strays.push((index, *backend)),
            }
        }
        let backends = self.backends.of_mut(family);
        backends.generations = found.iter().map(|backend| backend.generation).collect();
        backends.indexes.adopt(found.len() as u32, |index| live.contains(&index), now);
    }
}

/// The two cursors of a service; equal lists share the first.
pub(super) fn cursors(id: u32) -> [u32; 2] {
    let first = id.wrapping_mul(2);
    [first, first + 1]
}
