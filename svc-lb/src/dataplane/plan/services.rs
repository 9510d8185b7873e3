//! Services: their lists, with the slots and the backends in them.

use super::{Planner, Refusal, source_ranges::ranges};
use crate::{
    compile::{self, Family, Protocol, ServicePort, TrafficPolicy},
    dataplane::{
        element::{Backend, IN_CLUSTER, IN_LOCAL, LIVE},
        name::ServiceName,
        spread::spread,
        state::{Backends, Entry, Held, State, cursors},
    },
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};
use svc_lb_common::service::{Service, SlotRange};

/// The numbers that a service gets for its new lists; nothing is written yet.
#[derive(Default)]
struct Numbers {
    backends: Vec<(SocketAddr, u32)>,
    slots: Vec<(u32, Vec<u32>)>,
}

impl Planner<'_> {
    /// Puts the lists of a service in force.
    pub(super) fn serve(
        &mut self,
        name: &Arc<ServicePort>,
        wanted: &compile::Service,
    ) -> Result<(), Refusal> {
        if let Some(&id) = self.state.names.get(name) {
            if self.state.services.get(&id).is_some_and(|entry| entry.applied.as_ref() == Some(wanted)) {
                return Ok(());
            }
            let mut entry = self.state.services.remove(&id).unwrap_or_default();
            let result = self.change(id, name, &mut entry, wanted);
            self.state.services.insert(id, entry);
            return result;
        }
        if !ServiceName::fits(name) {
            return Err(Refusal::Name(Arc::clone(name)));
        }
        let too_many = || Refusal::Services(Arc::clone(name), self.state.limits.services - 1);
        let id = self.state.ids.take(self.now).ok_or_else(too_many)?;
        let mut entry = Entry { name: Some(Arc::clone(name)), ..Entry::default() };
        if let Err(refusal) = self.change(id, name, &mut entry, wanted) {
            self.state.ids.give_back(id, self.now);
            return Err(refusal);
        }
        self.plan.new.names.push((id, Arc::clone(name)));
        self.state.names.insert(Arc::clone(name), id);
        self.state.services.insert(id, Box::new(entry));
        Ok(())
    }

    /// Gives a service new lists. A refusal leaves everything as it was.
    fn change(
        &mut self,
        id: u32,
        name: &Arc<ServicePort>,
        entry: &mut Entry,
        wanted: &compile::Service,
    ) -> Result<(), Refusal> {
        let source_ranges = ranges(wanted, name.family);
        if !self.have_room(&entry.source_ranges, &source_ranges) {
            return Err(Refusal::SourceRanges(Arc::clone(name), self.state.limits.source_ranges));
        }
        let mut numbers = Numbers::default();
        let (service, indexes) = match self.number(id, name, entry, wanted, &mut numbers) {
            Ok(numbered) => numbered,
            Err(refusal) => {
                self.give_back(numbers);
                return Err(refusal);
            }
        };
        let flags = flags(wanted);
        for (key, held) in &mut entry.backends {
            let endpoint = SocketAddr::from(*key);
            self.list_backend(id, endpoint, held, flags.get(&endpoint).copied().unwrap_or(LIVE));
        }
        for (endpoint, index) in numbers.backends {
            let held = Held { index, flags: flags[&endpoint] };
            self.put_backend(id, endpoint, held);
            entry.backends.insert(endpoint.into(), held);
        }
        for (first, list) in numbers.slots {
            self.plan.new.slots.extend((first..).zip(list));
        }
        let kept = |range: SlotRange| {
            [service.cluster, service.local].iter().any(|it| it.length > 0 && it.first == range.first)
        };
        for (range, _) in entry.ranges().filter(|(range, _)| !kept(*range)) {
            self.state.slots.give_back(range.first, range.length, self.now);
        }
        self.replace_ranges(id, &mut entry.source_ranges, source_ranges);
        if entry.service != Some(service) {
            self.plan.new.services.push((id, service));
            entry.service = Some(service);
        }
        let draining = &wanted.lists.draining;
        let kept = |endpoint: SocketAddr| flags.contains_key(&endpoint) || draining.contains(&endpoint);
        for (key, held) in entry.backends.extract_if(.., |key, _| !kept((*key).into())) {
            self.remove_backend(id, Some(name), key.into(), held.index);
        }
        entry.lists = indexes;
        entry.applied = Some(wanted.clone());
        Ok(())
    }

    /// Finds the backend indexes and slots for new lists: those that the service has, else new ones.
    fn number(
        &mut self,
        id: u32,
        name: &Arc<ServicePort>,
        entry: &Entry,
        wanted: &compile::Service,
        numbers: &mut Numbers,
    ) -> Result<(Service, [Vec<u32>; 2]), Refusal> {
        let mut indexes: BTreeMap<SocketAddr, u32> = BTreeMap::new();
        for endpoint in wanted.lists.usable() {
            let index = if let Some(held) = entry.backends.get(&endpoint.into()) {
                held.index
            } else {
                let index = self.state.backends_of(endpoint).indexes.take(self.now);
                let limit = self.state.limits.backends;
                let index = index.ok_or_else(|| Refusal::Backends(Arc::clone(name), limit))?;
                numbers.backends.push((endpoint, index));
                index
            };
            indexes.insert(endpoint, index);
        }
        let lists = [&wanted.lists.cluster, &wanted.lists.local].map(|list| {
            let slots = spread(list, wanted.algorithm).into_iter();
            slots.map(|position| indexes[&list[position as usize].endpoint]).collect::<Vec<u32>>()
        });
        let mut range = |list: &Vec<u32>, cursor: u32| {
            let length = list.len() as u32;
            let held = entry.ranges().find(|(_, held)| *held == list.as_slice());
            let first = match held {
                _ if length == 0 => 0,
                Some((range, _)) => range.first,
                None => {
                    let limit = self.state.limits.slots;
                    let first = self.state.slots.take(length, self.now);
                    let first = first.ok_or_else(|| Refusal::Slots(Arc::clone(name), limit))?;
                    numbers.slots.push((first, list.clone()));
                    first
                }
            };
            Ok(SlotRange { first, length, cursor })
        };
        let cluster = range(&lists[0], cursors(id)[0])?;
        let local = if lists[0] == lists[1] { cluster } else { range(&lists[1], cursors(id)[1])? };
        Ok((service(wanted, cluster, local), lists))
    }

    /// Takes back what a refused service was to get.
    fn give_back(&mut self, numbers: Numbers) {
        for (endpoint, index) in numbers.backends.into_iter().rev() {
            self.state.backends_of(endpoint).give_back_unwritten(index, self.now);
        }
        for (first, list) in numbers.slots {
            self.state.slots.give_back(first, list.len() as u32, self.now);
        }
    }

    /// Writes a backend to an index.
    fn put_backend(&mut self, service: u32, endpoint: SocketAddr, held: Held) {
        let generation = self.state.backends_of(endpoint).next_generation(held.index);
        let backend = Backend { endpoint, flags: held.flags, service, generation };
        self.plan.new.backends.push((held.index, backend));
    }

    /// Has a backend say in which lists it is: first in which it is besides, then in which it is only.
    fn list_backend(&mut self, service: u32, endpoint: SocketAddr, held: &mut Held, flags: u16) {
        let generation = self.state.backends_of(endpoint).generations[held.index as usize];
        let backend = |flags| (held.index, Backend { endpoint, flags, service, generation });
        let both = held.flags | flags;
        if both != held.flags {
            self.plan.new.listed.push(backend(both));
        }
        if both != flags {
            self.plan.gone.unlisted.push(backend(flags));
        }
        held.flags = flags;
    }

    /// Takes a backend away from its flows.
    pub(super) fn remove_backend(
        &mut self,
        service: u32,
        name: Option<&ServicePort>,
        endpoint: SocketAddr,
        index: u32,
    ) {
        self.plan.udp_backends_gone |= name.is_none_or(|name| name.protocol == Protocol::Udp);
        let backends = self.state.backends_of(endpoint);
        backends.indexes.give_back(index, self.now);
        let generation = backends.next_generation(index);
        let backend = Backend { endpoint, flags: 0, service, generation };
        self.plan.gone.backends.push((index, backend));
    }
}

/// The flags of the backends that are in a list.
fn flags(wanted: &compile::Service) -> BTreeMap<SocketAddr, u16> {
    let mut flags = BTreeMap::new();
    for (list, flag) in [(&wanted.lists.cluster, IN_CLUSTER), (&wanted.lists.local, IN_LOCAL)] {
        for backend in list {
            *flags.entry(backend.endpoint).or_insert(LIVE) |= flag;
        }
    }
    flags
}

/// A service as the maps hold it.
fn service(wanted: &compile::Service, cluster: SlotRange, local: SlotRange) -> Service {
    let policies = [
        (wanted.internal_policy, Service::INTERNAL_LOCAL),
        (wanted.external_policy, Service::EXTERNAL_LOCAL),
    ];
    let local_policies = policies.into_iter().filter(|(policy, _)| *policy == TrafficPolicy::Local);
    Service {
        cluster,
        local,
        affinity_timeout: wanted.affinity_timeout,
        algorithm: wanted.algorithm as u16,
        flags: local_policies.map(|(_, flag)| flag).sum(),
    }
}

impl State {
    /// The backend indexes of an endpoint's family.
    fn backends_of(&mut self, endpoint: SocketAddr) -> &mut Backends {
        self.backends.of_mut(Family::of(endpoint.ip()))
    }
}

impl Backends {
    /// A generation that an index never had.
    fn next_generation(&mut self, index: u32) -> u32 {
        let index = index as usize;
        if self.generations.len() <= index {
            self.generations.resize(index + 1, 0);
        }
        self.generations[index] = self.generations[index].wrapping_add(1);
        self.generations[index]
    }

    /// Takes back an index to which nothing was written; the last one first. One that was never used
    /// stays so: what is in use has no gaps, and the next agent finds its end.
    fn give_back_unwritten(&mut self, index: u32, now: Instant) {
        if (index as usize) < self.generations.len() {
            self.indexes.give_back(index, now);
        } else {
            self.indexes.give_back_unused(index);
        }
    }
}
