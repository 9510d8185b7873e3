//! Services → frontends, and the lists of backends that they lead to.

use super::{
    node_addresses::{addresses, node_addresses, nodeport_addresses},
    tables::{self, Frontend, FrontendKind, Lists, Ownership, ServicePort, Tables, Target, Weighted},
};
use crate::{
    cluster::{Cluster, Endpoint, Port, Service},
    node::Facts,
    options::NodePortAddresses,
    source::{Family, Finding, Name, Problem, Protocol},
};
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Which of two Services has what both want.
const FIRST: &str = "older, or of one age and first by name";

/// What the tables depend on besides the cluster and the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The name of this node's Node.
    pub node_name: String,
    /// `--nodeport-addresses`.
    pub nodeport_addresses: NodePortAddresses,
}

/// What [`compile`] gives.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// What the programs are to know.
    pub tables: Tables,
    /// The frontends that could not be had, and why.
    pub findings: Vec<Finding>,
}

/// Expands Services into the frontends of this node and the backends of each. Where two Services want
/// the same, the older one has it.
pub fn compile(cluster: &Cluster, facts: &Facts, options: &Options) -> Compiled {
    let primary = node_addresses(cluster, facts, &options.node_name);
    let of_interfaces = facts.interfaces.iter().flat_map(addresses);
    let mut compiler = Compiler {
        nodeport_addresses: nodeport_addresses(primary, facts, &options.nodeport_addresses),
        addresses: primary.iter().chain(of_interfaces).map(|address| (address, Owner::Node)).collect(),
        node_ports: HashMap::new(),
        compiled: Compiled::default(),
    };
    for service in &cluster.services {
        compiler.add(service);
    }
    compiler.compiled
}

/// Who has an address.
enum Owner<'a> {
    Node,
    Service(&'a Name),
}

struct Compiler<'a> {
    nodeport_addresses: BTreeSet<IpAddr>,
    addresses: HashMap<IpAddr, Owner<'a>>,
    /// Which Service has a node port.
    node_ports: HashMap<(u16, Protocol), &'a Name>,
    compiled: Compiled,
}

impl<'a> Compiler<'a> {
    fn add(&mut self, service: &'a Service) {
        let cluster_ips: Vec<_> = service
            .cluster_ips
            .iter()
            .copied()
            .filter(|address| self.claim_address(service, *address))
            .collect();
        for port in &service.ports {
            let node_port = port.node_port.filter(|number| self.claim_node_port(service, port, *number));
            for family in &service.families {
                self.add_port(service, port, *family, &cluster_ips, node_port);
            }
        }
    }

    /// Adds the frontends and backends of one port in one family.
    fn add_port(
        &mut self,
        service: &Service,
        port: &Port,
        family: Family,
        cluster_ips: &[IpAddr],
        node_port: Option<u16>,
    ) {
        let cluster_ips = cluster_ips.iter().map(|address| (*address, port.number, FrontendKind::ClusterIp));
        let nodes = self.nodeport_addresses.iter();
        let node_ports = nodes.filter_map(|address| Some((*address, node_port?, FrontendKind::NodePort)));
        let frontends = cluster_ips.chain(node_ports).filter(|(address, ..)| Family::of(*address) == family);
        let mut frontends = frontends.peekable();
        if frontends.peek().is_none() {
            return;
        }
        let service = Arc::new(ServicePort {
            namespace: service.name.namespace.clone(),
            name: service.name.name.clone(),
            port: port.name.clone(),
            protocol: port.protocol,
            family,
        });
        let compiled = &mut self.compiled.tables;
        for (address, number, kind) in frontends {
            let frontend = Frontend { address, port: number, protocol: port.protocol };
            compiled.frontends.insert(frontend, Target { service: Arc::clone(&service), kind });
            let ownership = match kind {
                FrontendKind::ClusterIp => Ownership::ClusterIp,
                FrontendKind::NodePort => Ownership::Node,
                FrontendKind::LoadBalancer | FrontendKind::ExternalIp => Ownership::External,
            };
            compiled.addresses.insert(address, ownership);
        }
        let lists = lists(port, family);
        compiled.services.insert(service, tables::Service { lists, ..tables::Service::default() });
    }

    /// Takes an address for the ClusterIP of a Service, unless somebody has it.
    fn claim_address(&mut self, service: &'a Service, address: IpAddr) -> bool {
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
                    "give another, or leave it out to get one",
                );
                self.compiled.findings.push(service.origin.finding(problem));
                false
            }
        }
    }

    /// Takes a node port for a port of a Service, unless another has it.
    fn claim_node_port(&mut self, service: &'a Service, port: &Port, number: u16) -> bool {
        match self.node_ports.entry((number, port.protocol)) {
            Entry::Vacant(entry) => {
                entry.insert(&service.name);
                true
            }
            Entry::Occupied(owner) => {
                let problem = Problem::error(
                    format!("spec.ports[{}].nodePort", port.index),
                    format!("the node port {number}/{} is taken", port.protocol),
                    format!("it is that of {}, which is {FIRST}", owner.get()),
                    "give another, or leave it out to get one",
                );
                self.compiled.findings.push(service.origin.finding(problem));
                false
            }
        }
    }
}

/// What new connections choose from: the ready endpoints; if there are none, those that terminate and
/// still serve. While there are, these keep the connections that they have.
fn lists(port: &Port, family: Family) -> Lists {
    let those = |condition: fn(&Endpoint) -> bool| {
        let endpoints = port.endpoints.iter().filter(move |it| Family::of(it.address) == family);
        endpoints.filter(move |it| condition(it)).map(|it| SocketAddr::new(it.address, it.port))
    };
    let ready: Vec<_> = those(|it| it.ready).collect();
    let leaving = those(|it| !it.ready && it.serving && it.terminating);
    let (usable, draining) =
        if ready.is_empty() { (leaving.collect(), BTreeSet::new()) } else { (ready, leaving.collect()) };
    Lists { cluster: usable.into_iter().map(Weighted::from).collect(), local: Vec::new(), draining }
}
