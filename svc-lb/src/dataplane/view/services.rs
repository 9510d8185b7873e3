//! Services, with what leads to them and where they lead.

use crate::{
    compile::{Algorithm, Family, ServicePort},
    dataplane::{
        element::{self, IN_CLUSTER, IN_LOCAL},
        maps::Maps,
        state::Contents,
        typed::MapError,
    },
    source::annotations::ALGORITHMS,
};
use ipnet::IpNet;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};
use svc_lb_common::{counters::ServiceCounters, frontend, service};

/// One port of one Service in one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its number in the maps.
    pub id: u32,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.ports[].name`; empty for the one unnamed port.
    pub port: String,
    /// `spec.ports[].protocol`.
    pub protocol: String,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// `spec.type`, as its frontends on this node tell it.
    #[serde(rename = "type")]
    pub kind: Type,
    /// How a connection gets a backend.
    #[serde(flatten)]
    pub selection: Selection,
    /// The only sources that may use its limited frontends.
    pub source_ranges: Vec<IpNet>,
    /// By address and port.
    pub frontends: Vec<Frontend>,
    /// Those of the traffic policy `Cluster`, then those of the policy `Local` alone, then those that drain;
    /// by address and port.
    pub backends: Vec<Backend>,
    /// What was counted for it.
    pub counters: Counters,
}

/// How a connection gets a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// As the annotation `svc-lb.io/algorithm` spells it.
    pub algorithm: &'static str,
    /// Of those who come by a ClusterIP.
    pub internal_policy: Policy,
    /// Of those outside the cluster who come by another frontend.
    pub external_policy: Policy,
    /// For how many seconds a client keeps its backend; 0: not at all.
    pub affinity_timeout: u32,
}

impl From<&service::Service> for Selection {
    fn from(service: &service::Service) -> Self {
        let policy = |flag| if service.has(flag) { Policy::Local } else { Policy::Cluster };
        Self {
            algorithm: algorithm(service.algorithm),
            internal_policy: policy(service::Service::INTERNAL_LOCAL),
            external_policy: policy(service::Service::EXTERNAL_LOCAL),
            affinity_timeout: service.affinity_timeout,
        }
    }
}

/// An algorithm, as the annotation spells it.
fn algorithm(number: u16) -> &'static str {
    let mut names = ALGORITHMS.into_iter();
    names.find(|(_, algorithm)| *algorithm as u16 == number).map_or("unknown", |(name, _)| name)
}

/// A traffic policy: which endpoints a connection may get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Policy {
    /// Those of the whole cluster.
    #[default]
    Cluster,
    /// Those of this node.
    Local,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        })
    }
}

/// An address and port that is answered for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frontend {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Where it comes from.
    pub kind: Kind,
    /// Whether only the sources in the service's ranges may use it.
    pub limited: bool,
}

/// Where a frontend comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// `spec.clusterIPs`.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// `spec.ports[].nodePort` on an address of the node.
    NodePort,
    /// One of `spec.externalIPs`.
    #[serde(rename = "ExternalIP")]
    ExternalIp,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer,
}

impl Kind {
    fn of(frontend: frontend::Frontend) -> Self {
        match frontend {
            it if it.has(frontend::Frontend::LOAD_BALANCER) => Self::LoadBalancer,
            it if it.has(frontend::Frontend::EXTERNAL_IP) => Self::ExternalIp,
            it if it.has(frontend::Frontend::EXTERNAL) => Self::NodePort,
            _ => Self::ClusterIp,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::ExternalIp => "ExternalIP",
            Self::LoadBalancer => "LoadBalancer",
        })
    }
}

/// `spec.type` of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Type {
    /// It has a ClusterIP, or is headless.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// It has node ports besides.
    NodePort,
    /// It has load balancers' addresses besides.
    LoadBalancer,
    /// It is another name for something else: the maps know nothing of it.
    ExternalName,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalName => "ExternalName",
        })
    }
}

/// An endpoint of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Its index in the map of its family.
    pub index: u32,
    /// The generation of the index.
    pub generation: u32,
    /// Whether connections get it under the traffic policy `Cluster`.
    pub cluster: bool,
    /// Whether connections get it under the traffic policy `Local`.
    pub local: bool,
    /// Whether no new connection gets it, and those that it has go on.
    pub draining: bool,
    /// How many connections it has open, where that decides who gets the next one.
    pub open_connections: Option<i32>,
}

/// What was counted, over all processors. Bytes are those from the IP header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Flows made.
    pub new_flows: u64,
    /// Connections, and exchanges of unconnected UDP sockets, that sockets were sent to a backend for: none
    /// of their packets is counted.
    pub socket_connections: u64,
    /// Packets from clients to backends.
    pub forward_packets: u64,
    /// Bytes from clients to backends.
    pub forward_bytes: u64,
    /// Packets from backends to clients.
    pub reply_packets: u64,
    /// Bytes from backends to clients.
    pub reply_bytes: u64,
}

impl Counters {
    /// Connections and exchanges of UDP, whichever way clients were sent to a backend.
    pub fn connections(&self) -> u64 {
        self.new_flows.saturating_add(self.socket_connections)
    }
}

impl From<ServiceCounters> for Counters {
    fn from(counters: ServiceCounters) -> Self {
        let ServiceCounters {
            new_flows,
            socket_connections,
            forward_packets,
            forward_bytes,
            reply_packets,
            reply_bytes,
        } = counters;
        Self { new_flows, socket_connections, forward_packets, forward_bytes, reply_packets, reply_bytes }
    }
}

impl Service {
    /// `namespace/name` and, if the port has a name, `:port`.
    pub fn full_name(&self) -> String {
        let Self { namespace, name, port, .. } = self;
        if port.is_empty() { format!("{namespace}/{name}") } else { format!("{namespace}/{name}:{port}") }
    }

    /// The traffic policy of a frontend, for those outside the cluster where that matters.
    pub fn policy(&self, frontend: &Frontend) -> Policy {
        match frontend.kind {
            Kind::ClusterIp => self.selection.internal_policy,
            Kind::NodePort | Kind::ExternalIp | Kind::LoadBalancer => self.selection.external_policy,
        }
    }

    /// The backends that new connections may get under a policy.
    pub fn usable(&self, policy: Policy) -> impl Iterator<Item = &Backend> {
        self.backends.iter().filter(move |backend| match policy {
            Policy::Cluster => backend.cluster,
            Policy::Local => backend.local,
        })
    }
}

/// All services, by name.
pub fn read(maps: &Maps) -> Result<Vec<Service>, MapError> {
    let contents = maps.contents_without_slots()?;
    let mut frontends = frontends(&contents);
    let mut backends = backends(&contents);
    let mut source_ranges: BTreeMap<u32, Vec<IpNet>> = BTreeMap::new();
    for it in &contents.source_ranges {
        source_ranges.entry(it.service).or_default().push(it.range);
    }
    let mut names: Vec<(&Arc<ServicePort>, u32)> =
        contents.names.iter().filter_map(|(id, name)| Some((name.as_ref()?, *id))).collect();
    names.sort_unstable();
    let services = names.into_iter().map(|(name, id)| {
        let frontends = frontends.remove(&id).unwrap_or_default();
        let mut backends = backends.remove(&(name.family, id)).unwrap_or_default();
        let service = contents.services.get(&id);
        if service.is_some_and(|it| it.algorithm == Algorithm::LeastConnections as u16) {
            for backend in &mut backends {
                backend.open_connections = Some(maps.open_connections(name.family, backend.index)?);
            }
        }
        Ok(Service {
            id,
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            port: name.port.clone(),
            protocol: name.protocol.to_string(),
            family: name.family.to_string(),
            kind: kind(&frontends),
            selection: service.map(Selection::from).unwrap_or_default(),
            source_ranges: source_ranges.remove(&id).unwrap_or_default(),
            frontends,
            backends,
            counters: maps.counters.sum(id)?.into(),
        })
    });
    services.collect()
}

/// The frontends of each service.
fn frontends(contents: &Contents) -> BTreeMap<u32, Vec<Frontend>> {
    let mut frontends: BTreeMap<u32, Vec<Frontend>> = BTreeMap::new();
    for (key, frontend) in contents.frontends.iter().filter(|(key, _)| !key.is_address()) {
        frontends.entry(frontend.service).or_default().push(Frontend {
            address: key.address,
            port: key.port,
            kind: Kind::of(*frontend),
            limited: frontend.has(frontend::Frontend::LIMITED),
        });
    }
    frontends
}

/// The type of a service with such frontends. External IPs may come with every type.
fn kind(frontends: &[Frontend]) -> Type {
    let kinds = frontends.iter().map(|frontend| match frontend.kind {
        Kind::ClusterIp | Kind::ExternalIp => Type::ClusterIp,
        Kind::NodePort => Type::NodePort,
        Kind::LoadBalancer => Type::LoadBalancer,
    });
    kinds.max().unwrap_or_default()
}

/// The live backends of each service, by its family and id.
fn backends(contents: &Contents) -> BTreeMap<(Family, u32), Vec<Backend>> {
    let mut backends: BTreeMap<_, Vec<Backend>> = BTreeMap::new();
    for family in [Family::V4, Family::V6] {
        let live = (0..).zip(contents.backends.of(family)).filter(|(_, backend)| backend.is_live());
        for (index, found) in live {
            backends.entry((family, found.service)).or_default().push(backend(index, found));
        }
    }
    for backends in backends.values_mut() {
        backends.sort_by_key(|it| (it.draining, !it.cluster, it.address, it.port));
    }
    backends
}

fn backend(index: u32, found: &element::Backend) -> Backend {
    Backend {
        address: found.endpoint.ip(),
        port: found.endpoint.port(),
        index,
        generation: found.generation,
        cluster: found.has(IN_CLUSTER),
        local: found.has(IN_LOCAL),
        draining: !found.has(IN_CLUSTER | IN_LOCAL),
        open_connections: None,
    }
}
