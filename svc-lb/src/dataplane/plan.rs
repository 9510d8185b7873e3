//! The difference between the tables and the maps, as writes in an order that is right after every
//! single one of them. Pure: it knows no kernel.
//!
//! What is new comes from the back to the front: backends, the slots that lead to them, the services
//! that lead to those, the frontends. A changed list gets slots of its own, and one write to
//! `SERVICES` puts it in force. What goes, goes from the front to the back; a backend's generation
//! changes last, when no list leads to it any more; of one that drains, when it does so no longer.
//!
//! A backend says in its flags in which lists it is, for clients that come back to the one they had. It
//! says so before a list has it, and until none has it any more: a client that comes back meanwhile gets a
//! backend of the old list or of the new one. Before its generation changes, all programs end that may have
//! read that it is in a list.
//!
//! Ranges of sources are there before a frontend is limited to them, and until it is limited no more.

mod frontends;
mod services;
mod source_ranges;

use super::{
    element::{Backend, FrontendKey, LIVE},
    source_range::SourceRange,
    state::{Entry, State},
};
use crate::compile::{Frontend, ServicePort, Tables};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Instant};
use svc_lb_common::{frontend, service::Service};

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
    /// Indexes that get an endpoint.
    backends: Vec<(u32, Backend)>,
    /// Backends that get into a list.
    listed: Vec<(u32, Backend)>,
    slots: Vec<(u32, u32)>,
    source_ranges: Vec<SourceRange>,
    services: Vec<(u32, Service)>,
    frontends: Vec<(FrontendKey, frontend::Frontend)>,
    addresses: Vec<(FrontendKey, frontend::Frontend)>,
}

/// Elements to delete, in the order of the fields; backends are written.
#[derive(Clone, Debug, Default)]
struct Removals {
    addresses: Vec<FrontendKey>,
    frontends: Vec<FrontendKey>,
    /// Backends that are in a list no more.
    unlisted: Vec<(u32, Backend)>,
    services: Vec<u32>,
    source_ranges: Vec<SourceRange>,
    /// Backends that are removed.
    backends: Vec<(u32, Backend)>,
    names: Vec<u32>,
}

/// Where a plan is written: the maps, or a model of them. Elements are written in their order.
pub trait Sink {
    /// Why a write failed.
    type Error;

    /// Gives service ids a name, and counters that are zero.
    fn set_names(&mut self, names: &[(u32, Arc<ServicePort>)]) -> Result<(), Self::Error>;
    /// Gives backend indexes an endpoint, and loads that are zero.
    fn put_backends(&mut self, backends: &[(u32, Backend)]) -> Result<(), Self::Error>;
    /// Writes backends at indexes whose endpoint stays, or is removed.
    fn set_backends(&mut self, backends: &[(u32, Backend)]) -> Result<(), Self::Error>;
    /// Writes backend indexes to slots.
    fn set_slots(&mut self, slots: &[(u32, u32)]) -> Result<(), Self::Error>;
    /// Writes ranges of sources.
    fn set_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Self::Error>;
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
    /// Deletes ranges of sources.
    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Self::Error>;
    /// Deletes names.
    fn remove_names(&mut self, ids: &[u32]) -> Result<(), Self::Error>;
}

impl Plan {
    /// How many elements are written or deleted.
    pub fn writes(&self) -> usize {
        let Additions { names, backends, listed, slots, source_ranges, services, frontends, addresses } =
            &self.new;
        let behind = names.len() + backends.len() + listed.len() + slots.len() + source_ranges.len();
        let new = behind + services.len() + frontends.len() + addresses.len();
        let Removals { addresses, frontends, unlisted, services, source_ranges, backends, names } =
            &self.gone;
        let in_front = addresses.len() + frontends.len() + unlisted.len() + services.len();
        new + in_front + source_ranges.len() + backends.len() + names.len()
    }

    /// Writes everything, in the one right order.
    #[cfg(test)]
    pub fn apply<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        self.put_in_force(sink)?;
        self.take_away(sink)
    }

    /// Writes what decides for new connections from now on. [`Self::take_away`] is to follow.
    pub fn put_in_force<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        let Self { new, gone, .. } = self;
        sink.set_names(&new.names)?;
        sink.put_backends(&new.backends)?;
        sink.set_backends(&new.listed)?;
        sink.set_slots(&new.slots)?;
        sink.set_source_ranges(&new.source_ranges)?;
        sink.set_services(&new.services)?;
        sink.set_frontends(&new.frontends)?;
        sink.set_frontends(&new.addresses)?;
        sink.remove_frontends(&gone.addresses)?;
        sink.remove_frontends(&gone.frontends)?;
        sink.set_backends(&gone.unlisted)
    }

    /// Takes away what nothing leads to any more, once no program uses it.
    pub fn take_away<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        let gone = &self.gone;
        if !gone.services.is_empty() || !gone.source_ranges.is_empty() || !gone.backends.is_empty() {
            // Else a program might choose from an old list a backend whose generation is the new one:
            // its flow would never learn that the backend is removed. Or it might miss a range that the
            // frontend it has read is limited to.
            sink.wait_for_programs();
        }
        sink.remove_services(&gone.services)?;
        sink.remove_source_ranges(&gone.source_ranges)?;
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
    /// No range of sources is left.
    #[error("{0}: there are too many loadBalancerSourceRanges, {1} at most in a family")]
    SourceRanges(Arc<ServicePort>, u32),
    /// No range of sources is left for the cluster's.
    #[error("--cluster-cidr: there are too many ranges of sources, {0} at most in a family")]
    ClusterRanges(u32),
    /// No frontend is left.
    #[error("{0}: there are too many frontends, {1} at most in a family")]
    Frontends(Frontend, u32),
    /// No frontend is left for the entry of an address.
    #[error("{0}: there are too many frontends, {1} at most in a family")]
    Addresses(IpAddr, u32),
}

impl State {
    /// The writes that bring the backends of some services to the tables, which differ in nothing else from those
    /// that were planned last, and of which nothing was refused then.
    pub fn plan_backends(
        &mut self,
        tables: &Tables,
        services: &BTreeSet<Arc<ServicePort>>,
        now: Instant,
    ) -> Plan {
        let mut planner = Planner { state: self, now, plan: Plan::default() };
        for (name, wanted) in services.iter().filter_map(|name| tables.services.get_key_value(name)) {
            let result = planner.serve(name, wanted);
            planner.plan.refusals.extend(result.err());
        }
        planner.plan
    }

    /// The writes that bring the maps to the tables. The state is then that of maps to which all of
    /// them have been applied.
    pub fn plan(&mut self, tables: &Tables, now: Instant) -> Plan {
        let mut planner = Planner { state: self, now, plan: Plan::default() };
        planner.bound_cluster(&tables.cluster_cidrs);
        for (name, wanted) in &tables.services {
            let result = planner.serve(name, wanted);
            planner.plan.refusals.extend(result.err());
        }
        planner.answer(tables);
        planner.forget(tables);
        planner.settle_ranges();
        planner.plan
    }
}

struct Planner<'a> {
    state: &'a mut State,
    now: Instant,
    plan: Plan,
}

impl Planner<'_> {
    /// Removes the services that the tables do not have, and what an interrupted sync left.
    fn forget(&mut self, tables: &Tables) {
        let wanted =
            |entry: &Entry| entry.name.as_ref().is_some_and(|name| tables.services.contains_key(name));
        let gone: Vec<(u32, Box<Entry>)> =
            self.state.services.extract_if(.., |_, entry| !wanted(entry)).collect();
        for (id, entry) in gone {
            self.plan.gone.services.push(id);
            self.plan.gone.names.push(id);
            for (range, _) in entry.ranges() {
                self.state.slots.give_back(range.first, range.length, self.now);
            }
            self.remove_ranges(id, entry.source_ranges);
            for (key, held) in entry.backends {
                self.remove_backend(id, entry.name.as_deref(), key.into(), held.index);
            }
            if let Some(name) = &entry.name {
                self.state.names.remove(name);
            }
            self.state.ids.give_back(id, self.now);
        }
        for (index, backend) in std::mem::take(&mut self.state.strays) {
            self.plan.gone.unlisted.push((index, Backend { flags: LIVE, ..backend }));
            self.remove_backend(backend.service, None, backend.endpoint, index);
        }
    }
}

#[cfg(test)]
mod tests;
