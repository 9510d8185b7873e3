//! Who has an address, a node port or a frontend: of two Services that want the same, the older one.

use super::tables::{Frontend, FrontendKind, Ownership, ServicePort, Tables, Target};
use crate::{
    cluster::{Port, Service},
    source::{Name, Problem, Protocol, Remark},
};
use std::{
    collections::{HashMap, btree_map, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

/// Which of two Services has what both want.
const FIRST: &str = "older, or of one age and first by name";

/// How to mend a conflict about what svc-lb would give by itself.
const GIVE_ANOTHER: &str = "give another, or leave it out to get one";

/// What is taken so far. Services come in the order of their age.
pub struct Claims<'a> {
    addresses: HashMap<IpAddr, Owner<'a>>,
    /// Which Service has a node port.
    node_ports: HashMap<(u16, Protocol), &'a Name>,
    /// What could not be had.
    pub remarks: Vec<Remark>,
}

/// Who has an address for itself.
enum Owner<'a> {
    Node,
    /// It is the ClusterIP of this one.
    Service(&'a Name),
}

/// A frontend that a port of a Service wants.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub address: IpAddr,
    pub number: u16,
    pub kind: FrontendKind,
    /// The place of the address in the list of the manifest that it is from, if it is from one.
    pub index: usize,
}

impl<'a> Claims<'a> {
    /// Before the first Service, when the node has its own addresses.
    pub fn new(node: impl Iterator<Item = IpAddr>) -> Self {
        let addresses = node.map(|address| (address, Owner::Node)).collect();
        Self { addresses, node_ports: HashMap::new(), remarks: Vec::new() }
    }

    /// Takes an address for the ClusterIP of a Service.
    pub fn cluster_ip(&mut self, service: &'a Service, address: IpAddr) -> bool {
        match self.addresses.entry(address) {
            Entry::Vacant(entry) => {
                entry.insert(Owner::Service(&service.name));
                true
            }
            Entry::Occupied(owner) => {
                let problem = Problem::error(
                    "spec.clusterIP",
                    format!("the ClusterIP {address} is taken"),
                    match owner.get() {
                        Owner::Node => "it is an address of this node".to_owned(),
                        Owner::Service(name) => format!("it is that of {name}, which is {FIRST}"),
                    },
                    GIVE_ANOTHER,
                );
                self.remarks.push(Remark { origin: service.origin.clone(), problem });
                false
            }
        }
    }

    /// Takes a port of the nodes for what a field of a Service asks for.
    pub fn node_port(
        &mut self,
        service: &'a Service,
        number: u16,
        protocol: Protocol,
        field: impl FnOnce() -> String,
    ) -> bool {
        match self.node_ports.entry((number, protocol)) {
            Entry::Vacant(entry) => {
                entry.insert(&service.name);
                true
            }
            Entry::Occupied(owner) => {
                let problem = Problem::error(
                    field(),
                    format!("the node port {number}/{protocol} is taken"),
                    has_it(owner.get(), &service.name),
                    GIVE_ANOTHER,
                );
                self.remarks.push(Remark { origin: service.origin.clone(), problem });
                false
            }
        }
    }

    /// Puts a frontend of a Service's port into the tables. It may be there already, as an address can be in
    /// several lists of one Service.
    pub fn frontend(
        &mut self,
        tables: &mut Tables,
        (service, port): (&Service, &Port),
        target: &Arc<ServicePort>,
        wanted: Wanted,
    ) -> bool {
        let Wanted { address, number, kind, .. } = wanted;
        let frontend = Frontend { address, port: number, protocol: port.protocol };
        match tables.frontends.entry(frontend) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(Target { service: Arc::clone(target), kind });
                let ownership = self.ownership(address, kind);
                let known = tables.addresses.entry(address).or_insert(ownership);
                *known = ownership.max(*known);
                true
            }
            btree_map::Entry::Occupied(entry) if entry.get().service == *target => true,
            btree_map::Entry::Occupied(entry) => {
                let ServicePort { namespace, name, .. } = &*entry.get().service;
                let owner = Name { namespace: namespace.clone(), name: name.clone() };
                let problem = Problem::error(
                    wanted.field(port),
                    format!("{frontend} is taken"),
                    has_it(&owner, &service.name),
                    "give another address or port; until then it is served for that one",
                );
                self.remarks.push(Remark { origin: service.origin.clone(), problem });
                false
            }
        }
    }

    fn ownership(&self, address: IpAddr, kind: FrontendKind) -> Ownership {
        match kind {
            FrontendKind::NodePort => Ownership::Node,
            FrontendKind::ClusterIp => Ownership::ClusterIp,
            FrontendKind::LoadBalancer | FrontendKind::ExternalIp => match self.addresses.get(&address) {
                Some(Owner::Node) => Ownership::Node,
                Some(Owner::Service(_)) | None => Ownership::External,
            },
        }
    }
}

impl Wanted {
    /// The field that it is from.
    fn field(self, port: &Port) -> String {
        match self.kind {
            FrontendKind::ClusterIp => "spec.clusterIP".to_owned(),
            FrontendKind::NodePort => format!("spec.ports[{}].nodePort", port.index),
            FrontendKind::LoadBalancer => format!("status.loadBalancer.ingress[{}].ip", self.index),
            FrontendKind::ExternalIp => format!("spec.externalIPs[{}]", self.index),
        }
    }
}

/// Why a Service cannot have what another one, or it itself, has.
fn has_it(owner: &Name, service: &Name) -> String {
    if owner == service {
        "the Service itself has it for something else".to_owned()
    } else {
        format!("it is that of {owner}, which is {FIRST}")
    }
}
