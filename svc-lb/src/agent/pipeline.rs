//! From the objects and the machine to the tables, kept from one change to the next: a change costs what it changes.

#[cfg(test)]
mod tests;

use super::Options;
use crate::{
    cluster::{Allocations, Changed, Concerned, Joined, Service, join},
    compile::{Compiled, ServicePort, compile, reach},
    node::{Backends, Facts, Machine, Neighbour, Reach, wanted_neighbours},
    source::{Objects, Origin, Problem},
};
use std::{collections::BTreeSet, mem, net::IpAddr, sync::Arc};

/// What manifests and machine come to. However it got there, it is what it would be if it were made anew.
#[derive(Default)]
pub struct Pipeline {
    /// The manifests, joined.
    pub joined: Joined,
    /// What they say that must be reached.
    reach: Reach,
    /// Where the endpoints are.
    backends: Backends,
    /// The machine, with the role of each interface.
    pub facts: Facts,
    /// The tables.
    pub compiled: Compiled,
    is_made: bool,
}

/// What of the tables may be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// All of them.
    All,
    /// The backends of these Service ports.
    Backends(BTreeSet<Arc<ServicePort>>),
}

impl Pipeline {
    /// Before the first objects; with what an earlier agent gave to Services.
    pub fn new(allocations: Allocations) -> Self {
        let mut pipeline = Self::default();
        pipeline.joined.allocations = allocations;
        pipeline
    }

    /// Follows a change of the objects.
    pub fn follow(
        &mut self,
        objects: &Objects,
        concerned: &Concerned,
        machine: &Machine,
        options: &Options,
    ) -> Renewed {
        match concerned {
            Concerned::EndpointsOf(services) if self.is_made => {
                let changed = self.joined.update(objects, &options.ranges, services);
                self.follow_endpoints(&changed, machine, options)
            }
            _ => {
                self.make(objects, machine, options);
                Renewed::All
            }
        }
    }

    fn make(&mut self, objects: &Objects, machine: &Machine, options: &Options) {
        // What was is not kept beside what is made of it.
        let Joined { allocations, .. } = mem::take(&mut self.joined);
        self.compiled = Compiled::default();
        self.joined = join(objects, &options.ranges, &allocations);
        self.reach = reach(&self.joined.cluster, &options.compile);
        let endpoints = self.joined.cluster.services.iter().flat_map(Service::addresses);
        self.backends = Backends::new(machine, endpoints);
        self.facts = options.roles.assign(machine, &self.reach, &self.backends);
        self.compiled = compile(&self.joined.cluster, &self.facts, &options.compile);
        self.is_made = true;
    }

    fn follow_endpoints(&mut self, changed: &[Changed], machine: &Machine, options: &Options) -> Renewed {
        let services = &self.joined.cluster.services;
        for Changed { place, before } in changed {
            services[*place].addresses().for_each(|address| self.backends.add(machine, address));
            before.addresses().for_each(|address| self.backends.remove(machine, address));
        }
        if self.assign_roles(machine, options) {
            return Renewed::All;
        }
        let mut renewed = BTreeSet::new();
        let cluster = &self.joined.cluster;
        for Changed { place, .. } in changed {
            self.compiled.update(&cluster.services[*place], cluster, &options.compile, &mut renewed);
        }
        Renewed::Backends(renewed)
    }

    /// Follows a change of the machine. Returns whether a fact about an interface is new, and so the tables may be
    /// others.
    pub fn follow_machine(&mut self, machine: &Machine, options: &Options) -> bool {
        self.backends.sort_anew(machine);
        self.assign_roles(machine, options)
    }

    /// Gives every interface its role; the tables are compiled anew if a fact is.
    fn assign_roles(&mut self, machine: &Machine, options: &Options) -> bool {
        let facts = options.roles.assign(machine, &self.reach, &self.backends);
        let changed = facts != self.facts;
        if changed {
            self.facts = facts;
            self.compiled = compile(&self.joined.cluster, &self.facts, &options.compile);
        }
        changed
    }

    /// The neighbours that are to be kept.
    pub fn neighbours(&self, machine: &Machine) -> BTreeSet<Neighbour> {
        wanted_neighbours(&machine.routes, &self.facts, &self.reach, &self.backends)
    }

    /// What is wrong with how the objects fit together and to the node: the objects, and the problem of each.
    pub fn remarks(&self) -> impl Iterator<Item = (&Origin, &Problem)> {
        self.joined.remarks().chain(self.compiled.remarks.iter().map(|it| (&it.origin, &it.problem)))
    }

    /// The addresses of the node itself.
    pub fn node_addresses(&self, options: &Options) -> Vec<IpAddr> {
        let cluster = &self.joined.cluster;
        crate::compile::node_addresses(cluster, &self.facts, &options.compile.node_name).iter().collect()
    }
}
