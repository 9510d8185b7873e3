//! Services → frontends, and the lists of backends that they lead to.

use super::{
    choice::{Place, lists},
    claims::{Claims, Wanted},
    health_check::HealthCheck,
    node_addresses::{NodeAddresses, addresses, node_addresses, nodeport_addresses},
    source_ranges::source_ranges,
    tables::{self, FrontendKind, ServicePort, Tables, TrafficPolicy},
};
use crate::{
    cluster::{Cluster, Listed, Port, Service, Unserved},
    node::Facts,
    options::NodePortAddresses,
    source::{Family, Finding, Protocol, Remark},
};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// What the tables depend on besides the cluster and the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The name of this node's Node.
    pub node_name: String,
    /// `--nodeport-addresses`.
    pub nodeport_addresses: NodePortAddresses,
    /// `--cluster-cidr`.
    pub cluster_cidrs: Vec<IpNet>,
}

/// What [`compile`] gives.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// What the programs are to know.
    pub tables: Tables,
    /// How many backends new connections get, counted once for each Service port.
    pub backends: usize,
    /// What is to answer load balancers that ask for this node's endpoints, by the age of the Services.
    pub health_checks: Vec<HealthCheck>,
    /// Where the node answers at node ports.
    pub nodeport_addresses: BTreeSet<IpAddr>,
    /// The Services of which the tables know nothing, as they have no address.
    pub unserved: Vec<Unserved>,
    /// The frontends that could not be had, and why.
    pub remarks: Vec<Remark>,
}

impl Compiled {
    /// The frontends that could not be had, with the places of their fields.
    pub fn findings(&self) -> Vec<Finding> {
        self.remarks.iter().map(Remark::finding).collect()
    }

    /// Brings the backends of a Service up to date, of which only the endpoints are others than those that
    /// were compiled. Adds the Service ports whose backends have changed.
    pub fn update(
        &mut self,
        service: &Service,
        cluster: &Cluster,
        options: &Options,
        changed: &mut BTreeSet<Arc<ServicePort>>,
    ) {
        let place = place(cluster, options);
        for port in &service.ports {
            for &family in &service.families {
                let name = service_port(service, port, family);
                let Some(entry) = self.tables.services.get_mut(&name) else { continue };
                let local = [entry.internal_policy, entry.external_policy].contains(&TrafficPolicy::Local);
                let lists = lists(port.endpoints_of(family), place, local);
                if *entry.lists != lists {
                    self.backends = self.backends - entry.lists.count() + lists.count();
                    entry.lists = Arc::new(lists);
                    changed.insert(Arc::new(name));
                }
            }
        }
        if let Some(port) = service.health_check_port {
            let asked = |check: &&mut HealthCheck| (&check.service, check.port) == (&service.name, port);
            if let Some(check) = self.health_checks.iter_mut().find(asked) {
                *check = HealthCheck::new(service, port, place);
            }
        }
    }
}

/// Where this node is.
fn place<'a>(cluster: &'a Cluster, options: &'a Options) -> Place<'a> {
    let node = cluster.nodes.get(&options.node_name);
    Place { node: &options.node_name, zone: node.and_then(|node| node.zone.as_deref()) }
}

fn service_port(service: &Service, port: &Port, family: Family) -> ServicePort {
    ServicePort {
        namespace: service.name.namespace.clone(),
        name: service.name.name.clone(),
        port: port.name.clone(),
        protocol: port.protocol,
        family,
    }
}

/// Expands Services into the frontends of this node and the backends of each. Where two Services want
/// the same, the older one has it.
pub fn compile(cluster: &Cluster, facts: &Facts, options: &Options) -> Compiled {
    let primary = node_addresses(cluster, facts, &options.node_name);
    let of_interfaces = facts.interfaces.iter().flat_map(addresses);
    let mut compiler = Compiler {
        place: place(cluster, options),
        primary,
        claims: Claims::new(primary.iter().chain(of_interfaces)),
        compiled: Compiled {
            nodeport_addresses: nodeport_addresses(primary, facts, &options.nodeport_addresses),
            unserved: cluster.unserved.clone(),
            ..Compiled::default()
        },
    };
    compiler.compiled.tables.cluster_cidrs = options.cluster_cidrs.iter().map(IpNet::trunc).collect();
    for service in &cluster.services {
        compiler.add(service);
    }
    let backends = compiler.compiled.tables.services.values().map(|service| service.lists.count()).sum();
    Compiled { backends, remarks: compiler.claims.remarks, ..compiler.compiled }
}

struct Compiler<'a> {
    place: Place<'a>,
    /// What stands for the node.
    primary: NodeAddresses,
    claims: Claims<'a>,
    compiled: Compiled,
}

impl<'a> Compiler<'a> {
    fn add(&mut self, service: &'a Service) {
        let cluster_ips = service.cluster_ips.iter().copied();
        let cluster_ips: Vec<_> =
            cluster_ips.filter(|address| self.claims.cluster_ip(service, *address)).collect();
        for port in &service.ports {
            let node_port = port.node_port.filter(|number| {
                let field = || format!("spec.ports[{}].nodePort", port.index);
                self.claims.node_port(service, *number, port.protocol, field)
            });
            for family in &service.families {
                let wanted = self.wanted(service, port, *family, &cluster_ips, node_port);
                self.add_port(service, port, *family, wanted);
            }
        }
        if let Some(port) = service.health_check_port {
            let field = || "spec.healthCheckNodePort".to_owned();
            if self.claims.node_port(service, port, Protocol::Tcp, field) {
                self.compiled.health_checks.push(HealthCheck::new(service, port, self.place));
            }
        }
    }

    /// The frontends that a port wants in one family.
    fn wanted(
        &self,
        service: &Service,
        port: &Port,
        family: Family,
        cluster_ips: &[IpAddr],
        node_port: Option<u16>,
    ) -> Vec<Wanted> {
        let listed = |list: &[Listed], kind| {
            let wanted =
                |it: &Listed| Wanted { address: it.address, number: port.number, kind, index: it.index };
            list.iter().map(wanted).collect::<Vec<_>>()
        };
        let own = |address: &IpAddr, number, kind| Wanted { address: *address, number, kind, index: 0 };
        let cluster_ips =
            cluster_ips.iter().map(|address| own(address, port.number, FrontendKind::ClusterIp));
        let nodes = self.compiled.nodeport_addresses.iter();
        let node_ports = nodes.filter_map(|address| Some(own(address, node_port?, FrontendKind::NodePort)));
        let all = cluster_ips
            .chain(listed(&service.load_balancer_ips, FrontendKind::LoadBalancer))
            .chain(listed(&service.external_ips, FrontendKind::ExternalIp))
            .chain(node_ports);
        all.filter(|wanted| Family::of(wanted.address) == family).collect()
    }

    /// Adds the frontends and backends of one port in one family.
    fn add_port(&mut self, service: &Service, port: &Port, family: Family, wanted: Vec<Wanted>) {
        if wanted.is_empty() {
            return;
        }
        let name = Arc::new(service_port(service, port, family));
        let tables = &mut self.compiled.tables;
        let had = wanted.into_iter().filter(|it| self.claims.frontend(tables, (service, port), &name, *it));
        let kinds: BTreeSet<FrontendKind> = had.map(|wanted| wanted.kind).collect();
        if kinds.is_empty() {
            return;
        }
        let is_external = kinds.iter().any(|kind| *kind != FrontendKind::ClusterIp);
        let external_policy = if is_external { service.external_policy } else { TrafficPolicy::Cluster };
        let local = [service.internal_policy, external_policy].contains(&TrafficPolicy::Local);
        let entry = tables::Service {
            lists: Arc::new(lists(port.endpoints_of(family), self.place, local)),
            internal_policy: service.internal_policy,
            external_policy,
            algorithm: service.algorithm,
            affinity_timeout: service.affinity_timeout,
            source_ranges: source_ranges(service, family, self.primary),
        };
        tables.services.insert(name, entry);
    }
}
