//! The difference between the tables and the maps, as writes in an order that is right after every
//! single one of them. Pure: it knows no kernel.
//!
//! What is new comes from the back to the front: backends, the slots that lead to them, the services
//! that lead to those, the frontends. A changed list gets slots of its own, and one write to
//! `SERVICES` puts it in force. What goes, goes from the front to the back; a backend's generation
//! changes last, when no list leads to it any more; of one that drains, when it does so no longer.

use super::{
    element::{Backend, FrontendKey, LIVE},
    name::ServiceName,
    state::{Backends, Entry, State, cursors},
};
use crate::compile::{
    self, Family, Frontend, FrontendKind, Ownership, Protocol, ServicePort, Tables, TrafficPolicy,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};
use svc_lb_common::{
    frontend,
    service::{Service, SlotRange},
};

/// What a sync writes, and what it cannot.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    new: Additions,
    gone: Removals,
    /// Whether backends of UDP are removed, or may be: those of a service without a name.
    pub udp_backends_gone: bool,
    /// What does not fit; all else is in the plan, and what was in force of this stays so.
    pub refusals: Vec<Refusal>,
}

/// Elements to write, in the order of the fields.
#[derive(Clone, Debug, Default)]
struct Additions {
    names: Vec<(u32, Arc<ServicePort>)>,
    backends: Vec<(u32, Backend)>,
    slots: Vec<(u32, u32)>,
    services: Vec<(u32, Service)>,
    frontends: Vec<(FrontendKey, frontend::Frontend)>,
    addresses: Vec<(FrontendKey, frontend::Frontend)>,
}

/// Elements to delete, in the order of the fields; removed backends are written.
#[derive(Clone, Debug, Default)]
struct Removals {
    addresses: Vec<FrontendKey>,
    frontends: Vec<FrontendKey>,
    services: Vec<u32>,
    backends: Vec<(u32, Backend)>,
    names: Vec<u32>,
}

/// Where a plan is written: the maps, or a model of them. Elements are written in their order.
pub trait Sink {
    /// Why a write failed.
    type Error;

    /// Gives service ids a name, and counters that are zero.
    fn set_names(&mut self, names: &[(u32, Arc<ServicePort>)]) -> Result<(), Self::Error>;
    /// Writes backends at their indexes.
    fn set_backends(&mut self, backends: &[(u32, Backend)]) -> Result<(), Self::Error>;
    /// Writes backend indexes to slots.
    fn set_slots(&mut self, slots: &[(u32, u32)]) -> Result<(), Self::Error>;
    /// Writes services at their ids.
    fn set_services(&mut self, services: &[(u32, Service)]) -> Result<(), Self::Error>;
    /// Writes frontends and entries of addresses.
    fn set_frontends(&mut self, frontends: &[(FrontendKey, frontend::Frontend)]) -> Result<(), Self::Error>;
    /// Deletes frontends and entries of addresses.
    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), Self::Error>;
    /// Waits until every program that runs now has ended: those that follow read what is written now.
    fn wait_for_programs(&mut self);
    /// Deletes services.
    fn remove_services(&mut self, ids: &[u32]) -> Result<(), Self::Error>;
    /// Deletes names.
    fn remove_names(&mut self, ids: &[u32]) -> Result<(), Self::Error>;
}

impl Plan {
    /// How many elements are written or deleted.
    pub fn writes(&self) -> usize {
        let Additions { names, backends, slots, services, frontends, addresses } = &self.new;
        let new =
            names.len() + backends.len() + slots.len() + services.len() + frontends.len() + addresses.len();
        let Removals { addresses, frontends, services, backends, names } = &self.gone;
        new + addresses.len() + frontends.len() + services.len() + backends.len() + names.len()
    }

    /// Writes everything, in the one right order.
    pub fn apply<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        let Self { new, gone, .. } = self;
        sink.set_names(&new.names)?;
        sink.set_backends(&new.backends)?;
        sink.set_slots(&new.slots)?;
        sink.set_services(&new.services)?;
        sink.set_frontends(&new.frontends)?;
        sink.set_frontends(&new.addresses)?;
        sink.remove_frontends(&gone.addresses)?;
        sink.remove_frontends(&gone.frontends)?;
        if !gone.services.is_empty() || !gone.backends.is_empty() {
            // Else a program might choose from an old list a backend whose generation is the new one:
            // its flow would never learn that the backend is removed.
            sink.wait_for_programs();
        }
        sink.remove_services(&gone.services)?;
        sink.set_backends(&gone.backends)?;
        sink.remove_names(&gone.names)
    }
}

/// What does not fit into the maps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A name is no DNS label.
    #[error("{0}: its namespace, its name or its port's name is longer than 63 characters")]
    Name(Arc<ServicePort>),
    /// No service id is left.
    #[error("{0}: there are too many Service ports, {1} at most")]
    Services(Arc<ServicePort>, u32),
    /// No backend index is left.
    #[error("{0}: there are too many endpoints, {1} at most in a family")]
    Backends(Arc<ServicePort>, u32),
    /// No slots are left.
    #[error("{0}: the lists of endpoints are too long, {1} at most in all")]
    Slots(Arc<ServicePort>, u32),
    /// No frontend is left.
    #[error("{0}: there are too many frontends, {1} at most in a family")]
    Frontends(Frontend, u32),
    /// No frontend is left for the entry of an address.
    #[error("{0}: there are too many frontends, {1} at most in a family")]
    Addresses(IpAddr, u32),
}

impl State {
    /// The writes that bring the maps to the tables. The state is then that of maps to which all of
    /// them have been applied.
    pub fn plan(&mut self, tables: &Tables, now: Instant) -> Plan {
        let mut planner = Planner { state: self, now, plan: Plan::default() };
        for (name, wanted) in &tables.services {
            let result = planner.serve(name, wanted);
            planner.plan.refusals.extend(result.err());
        }
        planner.answer(tables);
        planner.forget(tables);
        planner.plan
    }
}

struct Planner<'a> {
    state: &'a mut State,
    now: Instant,
    plan: Plan,
}

/// The numbers that a service gets for its new lists; nothing is written yet.
#[derive(Default)]
struct Numbers {
    backends: Vec<(SocketAddr, u32)>,
    slots: Vec<(u32, Vec<u32>)>,
}

impl Planner<'_> {
    /// Puts the lists of a service in force.
    fn serve(&mut self, name: &Arc<ServicePort>, wanted: &compile::Service) -> Result<(), Refusal> {
        if let Some(&id) = self.state.names.get(name) {
            if self.state.services.get(&id).is_some_and(|entry| entry.holds(wanted)) {
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
        self.state.services.insert(id, entry);
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
        let mut numbers = Numbers::default();
        let (service, indexes) = match self.number(id, name, entry, wanted, &mut numbers) {
            Ok(numbered) => numbered,
            Err(refusal) => {
                self.give_back(numbers);
                return Err(refusal);
            }
        };
        for (endpoint, index) in numbers.backends {
            self.put_backend(id, endpoint, index);
            entry.backends.insert(endpoint, index);
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
        if entry.service != Some(service) {
            self.plan.new.services.push((id, service));
            entry.service = Some(service);
        }
        let mut kept = wanted.lists.usable();
        kept.extend(&wanted.lists.draining);
        for (endpoint, index) in entry.backends.extract_if(.., |endpoint, _| !kept.contains(endpoint)) {
            self.remove_backend(id, Some(name), endpoint, index);
        }
        entry.lists = indexes;
        entry.find_unlisted();
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
        let lists = [&wanted.lists.cluster, &wanted.lists.local]
            .map(|list| list.iter().map(|it| it.endpoint).collect::<Vec<SocketAddr>>());
        let mut known: BTreeMap<SocketAddr, u32> = BTreeMap::new();
        for &endpoint in lists.iter().flatten() {
            let index = if let Some(&index) = entry.backends.get(&endpoint).or_else(|| known.get(&endpoint)) {
                index
            } else {
                let index = self.state.backends_of(endpoint).indexes.take(self.now);
                let limit = self.state.limits.backends;
                let index = index.ok_or_else(|| Refusal::Backends(Arc::clone(name), limit))?;
                numbers.backends.push((endpoint, index));
                index
            };
            known.insert(endpoint, index);
        }
        let lists = lists.map(|list| list.iter().map(|endpoint| known[endpoint]).collect::<Vec<u32>>());
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
    fn put_backend(&mut self, service: u32, endpoint: SocketAddr, index: u32) {
        let generation = self.state.backends_of(endpoint).next_generation(index);
        let backend = Backend { endpoint, flags: LIVE, service, generation };
        self.plan.new.backends.push((index, backend));
    }

    /// Takes a backend away from its flows.
    fn remove_backend(&mut self, service: u32, name: Option<&ServicePort>, endpoint: SocketAddr, index: u32) {
        self.plan.udp_backends_gone |= name.is_none_or(|name| name.protocol == Protocol::Udp);
        let backends = self.state.backends_of(endpoint);
        backends.indexes.give_back(index, self.now);
        let generation = backends.next_generation(index);
        let backend = Backend { endpoint, flags: 0, service, generation };
        self.plan.gone.backends.push((index, backend));
    }

    /// Brings frontends and addresses up to date.
    fn answer(&mut self, tables: &Tables) {
        let mut wanted = 0;
        for (place, target) in &tables.frontends {
            // A service that was refused is in the refusals already.
            let Some(&service) = self.state.names.get(&target.service) else { continue };
            let flags = match target.kind {
                FrontendKind::ClusterIp => 0,
                FrontendKind::NodePort | FrontendKind::LoadBalancer | FrontendKind::ExternalIp => {
                    frontend::Frontend::EXTERNAL
                }
            };
            match self.put_frontend(place.into(), frontend::Frontend { service, flags }) {
                Ok(()) => wanted += 1,
                Err(limit) => self.plan.refusals.push(Refusal::Frontends(*place, limit)),
            }
        }
        for (&address, ownership) in &tables.addresses {
            let flags = match ownership {
                Ownership::ClusterIp => frontend::Frontend::VIRTUAL,
                Ownership::External => frontend::Frontend::VIRTUAL | frontend::Frontend::EXTERNAL,
                Ownership::Node => 0,
            };
            let key = FrontendKey::of_address(address);
            match self.put_frontend(key, frontend::Frontend { service: 0, flags }) {
                Ok(()) => wanted += 1,
                Err(limit) => self.plan.refusals.push(Refusal::Addresses(address, limit)),
            }
        }
        if self.state.frontends.len() > wanted {
            self.remove_frontends(tables);
        }
    }

    /// Writes a frontend unless it is there; the limit if there are too many.
    fn put_frontend(&mut self, key: FrontendKey, frontend: frontend::Frontend) -> Result<(), u32> {
        let held = self.state.frontends.get(&key);
        if held == Some(&frontend) {
            return Ok(());
        }
        if held.is_none() {
            let count = self.state.frontend_counts.of_mut(key.family());
            if *count >= self.state.limits.frontends {
                return Err(self.state.limits.frontends);
            }
            *count += 1;
        }
        let new = &mut self.plan.new;
        let writes = if key.is_address() { &mut new.addresses } else { &mut new.frontends };
        writes.push((key, frontend));
        self.state.frontends.insert(key, frontend);
        Ok(())
    }

    fn remove_frontends(&mut self, tables: &Tables) {
        let mut wanted: BTreeSet<FrontendKey> =
            tables.addresses.keys().map(|address| FrontendKey::of_address(*address)).collect();
        let served = tables.frontends.iter().filter(|(_, it)| self.state.names.contains_key(&it.service));
        wanted.extend(served.map(|(place, _)| FrontendKey::from(place)));
        let mut gone: Vec<FrontendKey> =
            self.state.frontends.keys().filter(|key| !wanted.contains(key)).copied().collect();
        gone.sort_unstable();
        for key in gone {
            self.state.frontends.remove(&key);
            *self.state.frontend_counts.of_mut(key.family()) -= 1;
            let gone = &mut self.plan.gone;
            let keys = if key.is_address() { &mut gone.addresses } else { &mut gone.frontends };
            keys.push(key);
        }
    }

    /// Removes the services that the tables do not have, and what an interrupted sync left.
    fn forget(&mut self, tables: &Tables) {
        let wanted =
            |entry: &Entry| entry.name.as_ref().is_some_and(|name| tables.services.contains_key(name));
        let gone: Vec<(u32, Entry)> = self.state.services.extract_if(.., |_, entry| !wanted(entry)).collect();
        for (id, entry) in gone {
            self.plan.gone.services.push(id);
            self.plan.gone.names.push(id);
            for (range, _) in entry.ranges() {
                self.state.slots.give_back(range.first, range.length, self.now);
            }
            for (endpoint, index) in entry.backends {
                self.remove_backend(id, entry.name.as_deref(), endpoint, index);
            }
            if let Some(name) = &entry.name {
                self.state.names.remove(name);
            }
            self.state.ids.give_back(id, self.now);
        }
        for (index, backend) in std::mem::take(&mut self.state.strays) {
            self.remove_backend(backend.service, None, backend.endpoint, index);
        }
    }
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

#[cfg(test)]
mod tests;
