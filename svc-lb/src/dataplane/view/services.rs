//! Services, with what leads to them and where they lead.

use crate::{
    compile::{Family, ServicePort},
    dataplane::{element, maps::Maps, state::Contents, typed::MapError},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use svc_lb_common::{counters::ServiceCounters, frontend, service::SlotRange};

/// One port of one Service in one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// By address and port.
    pub frontends: Vec<Frontend>,
    /// In the order in which they are chosen: those of the traffic policy `Cluster`, then those of the
    /// policy `Local` alone, then those that drain.
    pub backends: Vec<Backend>,
    /// What was counted for it.
    pub counters: Counters,
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
}

/// Where a frontend comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// `spec.clusterIPs`.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// `spec.ports[].nodePort` on an address of the node.
    NodePort,
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
}

/// All services, by name.
pub fn read(maps: &Maps) -> Result<Vec<Service>, MapError> {
    let contents = maps.contents()?;
    let mut frontends = frontends(&contents);
    let mut live = live_backends(&contents);
    let mut names: Vec<(&Arc<ServicePort>, u32)> =
        contents.names.iter().filter_map(|(id, name)| Some((name.as_ref()?, *id))).collect();
    names.sort_unstable();
    let services = names.into_iter().map(|(name, id)| {
        let listed = listed_backends(&contents, id, name.family);
        let live = live.remove(&(name.family, id)).unwrap_or_default();
        Ok(Service {
            id,
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            port: name.port.clone(),
            protocol: name.protocol.to_string(),
            family: name.family.to_string(),
            frontends: frontends.remove(&id).unwrap_or_default(),
            backends: with_draining(listed, live),
            counters: maps.counters.sum(id)?.into(),
        })
    });
    services.collect()
}

/// The frontends of each service.
fn frontends(contents: &Contents) -> BTreeMap<u32, Vec<Frontend>> {
    let mut frontends: BTreeMap<u32, Vec<Frontend>> = BTreeMap::new();
    for (key, frontend) in contents.frontends.iter().filter(|(key, _)| !key.is_address()) {
        let external = frontend.has(frontend::Frontend::EXTERNAL);
        let kind = if external { Kind::NodePort } else { Kind::ClusterIp };
        let frontend_of = frontends.entry(frontend.service).or_default();
        frontend_of.push(Frontend { address: key.address, port: key.port, kind });
    }
    frontends
}

/// The live backends of each service, by its family and id.
fn live_backends(contents: &Contents) -> BTreeMap<(Family, u32), Vec<Backend>> {
    let mut live: BTreeMap<_, Vec<Backend>> = BTreeMap::new();
    for family in [Family::V4, Family::V6] {
        let backends = (0..).zip(contents.backends.of(family)).filter(|(_, backend)| backend.is_live());
        for (index, found) in backends {
            let backend = backend(found.endpoint, index, found.generation);
            live.entry((family, found.service)).or_default().push(backend);
        }
    }
    live
}

/// The backends in the lists of a service, then those others of it that live.
fn with_draining(mut listed: Vec<Backend>, live: Vec<Backend>) -> Vec<Backend> {
    let indexes: BTreeSet<u32> = listed.iter().map(|backend| backend.index).collect();
    let others = live.into_iter().filter(|backend| !indexes.contains(&backend.index));
    listed.extend(others.map(|backend| Backend { draining: true, ..backend }));
    listed
}

/// The backends in the lists of a service.
fn listed_backends(contents: &Contents, id: u32, family: Family) -> Vec<Backend> {
    let Some(service) = contents.services.get(&id) else { return Vec::new() };
    let mut backends: Vec<Backend> = Vec::new();
    let mut list = |range: SlotRange, local: bool| {
        let end = range.first.saturating_add(range.length);
        for (_, &index) in contents.slots.range(range.first..end) {
            let known = backends.iter().position(|backend| backend.index == index);
            let position = known.unwrap_or(backends.len());
            if known.is_none() {
                let found = contents.backends.of(family).get(index as usize);
                let Some(element::Backend { endpoint, generation, .. }) = found.copied() else { continue };
                backends.push(backend(endpoint, index, generation));
            }
            let backend = &mut backends[position];
            *(if local { &mut backend.local } else { &mut backend.cluster }) = true;
        }
    };
    list(service.cluster, false);
    list(service.local, true);
    backends
}

fn backend(endpoint: SocketAddr, index: u32, generation: u32) -> Backend {
    let (address, port) = (endpoint.ip(), endpoint.port());
    Backend { address, port, index, generation, cluster: false, local: false, draining: false }
}
