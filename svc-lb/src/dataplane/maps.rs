//! The maps by name, and what each holds.

use super::{
    bpffs,
    error::DataplaneError,
    name::ServiceName,
    source_range::SourceRangeKey,
    syscall::Access,
    typed::{Array, HashMap, MapError, PerCpuArray},
};
use std::path::{Path, PathBuf};
use svc_lb_common::{
    LAYOUT_VERSION,
    address::{Address, Ipv4, Ipv6},
    affinity::{Affinity, AffinityKey},
    backend::{Backend, BackendLoad},
    counters::{ProgramCounters, ServiceCounters},
    flow::{Flow, FlowKey},
    frontend::{Frontend, FrontendKey},
    interface::{Interface, Settings},
    service::Service,
    socket::{Connection, Peer, PeerKey},
};

/// The map of [`ServiceName`]s, which no program reads.
pub const SERVICE_NAMES: &str = "SERVICE_NAMES";
/// Where the lists of each service are.
pub const SERVICES: &str = "SERVICES";
/// The lists.
pub const SLOTS: &str = "SLOTS";
/// The flow tables: their size is an option.
pub const FLOWS: [&str; 2] = [Ipv4::FLOWS, Ipv6::FLOWS];
/// The tables of unfinished flows: their size follows from that of the flow tables.
pub const NEW_FLOWS: [&str; 2] = [Ipv4::NEW_FLOWS, Ipv6::NEW_FLOWS];
/// What is kept of TCP connections.
pub const CONNECTIONS: &str = "CONNECTIONS";
/// What is kept with sockets.
pub const SOCKETS: &str = "SOCKETS";
/// What is kept of the further services that a socket speaks to.
pub const SOCKET_PEERS: &str = "SOCKET_PEERS";

/// How the name of a directory of maps starts; the version of the layout follows.
const LAYOUT: &str = "maps-v";

/// Where the maps of this version's layout are pinned.
pub fn directory(pin_dir: &Path) -> PathBuf {
    pin_dir.join(format!("{LAYOUT}{LAYOUT_VERSION}"))
}

/// Removes the maps of other versions' layouts. Programs that still run with them keep them.
pub fn remove_other_layouts(pin_dir: &Path) -> Result<(), DataplaneError> {
    let current = directory(pin_dir);
    layouts(pin_dir)?.iter().filter(|path| **path != current).try_for_each(|path| bpffs::remove_all(path))
}

/// Removes the maps of every version.
pub fn remove(pin_dir: &Path) -> Result<(), DataplaneError> {
    layouts(pin_dir)?.iter().try_for_each(|path| bpffs::remove_all(path))
}

/// The directories of maps, of any version.
fn layouts(pin_dir: &Path) -> Result<Vec<PathBuf>, DataplaneError> {
    let names = bpffs::list(pin_dir)?.into_iter().filter(|name| name.starts_with(LAYOUT));
    Ok(names.map(|name| pin_dir.join(name)).collect())
}

/// The names of the maps that there are one of for each family.
pub trait FamilyNames: Address {
    /// Flows.
    const FLOWS: &'static str;
    /// Unfinished flows, while there are too many.
    const NEW_FLOWS: &'static str;
    /// Frontends.
    const FRONTENDS: &'static str;
    /// Hints at addresses.
    const HINTS: &'static str;
    /// Backends.
    const BACKENDS: &'static str;
    /// What backends have to do.
    const BACKEND_LOADS: &'static str;
    /// The backends that clients had last.
    const AFFINITY: &'static str;
    /// Ranges of sources.
    const SOURCE_RANGES: &'static str;
}

impl FamilyNames for Ipv4 {
    const FLOWS: &'static str = "FLOWS_V4";
    const NEW_FLOWS: &'static str = "NEW_FLOWS_V4";
    const FRONTENDS: &'static str = "FRONTENDS_V4";
    const HINTS: &'static str = "HINTS_V4";
    const BACKENDS: &'static str = "BACKENDS_V4";
    const BACKEND_LOADS: &'static str = "BACKEND_LOADS_V4";
    const AFFINITY: &'static str = "AFFINITY_V4";
    const SOURCE_RANGES: &'static str = "SOURCE_RANGES_V4";
}

impl FamilyNames for Ipv6 {
    const FLOWS: &'static str = "FLOWS_V6";
    const NEW_FLOWS: &'static str = "NEW_FLOWS_V6";
    const FRONTENDS: &'static str = "FRONTENDS_V6";
    const HINTS: &'static str = "HINTS_V6";
    const BACKENDS: &'static str = "BACKENDS_V6";
    const BACKEND_LOADS: &'static str = "BACKEND_LOADS_V6";
    const AFFINITY: &'static str = "AFFINITY_V6";
    const SOURCE_RANGES: &'static str = "SOURCE_RANGES_V6";
}

/// The maps of one family.
#[derive(Debug)]
pub struct FamilyMaps<A: Address> {
    /// One direction of a connection → its rewrite.
    pub flows: HashMap<FlowKey<A>, Flow<A>>,
    /// The same, for unfinished ones while there are too many.
    pub new_flows: HashMap<FlowKey<A>, Flow<A>>,
    /// Address, port, protocol → service id.
    pub frontends: HashMap<FrontendKey<A>, Frontend>,
    /// Hash of an address → whether svc-lb may have to do with it.
    pub hints: Array<u64>,
    /// Backend index → endpoint.
    pub backends: Array<Backend<A>>,
    /// Backend index → its open connections.
    pub backend_loads: Array<BackendLoad>,
    /// Service id and client → the backend that it had last.
    pub affinities: HashMap<AffinityKey<A>, Affinity>,
    /// Service id and range of sources → nothing.
    pub source_ranges: HashMap<SourceRangeKey<A>, u32>,
}

impl<A: FamilyNames> FamilyMaps<A> {
    fn open(directory: &Path, access: Access) -> Result<Self, MapError> {
        Ok(Self {
            flows: HashMap::open(directory, A::FLOWS, access)?,
            new_flows: HashMap::open(directory, A::NEW_FLOWS, access)?,
            frontends: HashMap::open(directory, A::FRONTENDS, access)?,
            hints: Array::open(directory, A::HINTS, access)?,
            backends: Array::open(directory, A::BACKENDS, access)?,
            backend_loads: Array::open(directory, A::BACKEND_LOADS, access)?,
            affinities: HashMap::open(directory, A::AFFINITY, access)?,
            source_ranges: HashMap::open(directory, A::SOURCE_RANGES, access)?,
        })
    }
}

/// Every map that the agent reads or writes.
#[derive(Debug)]
pub struct Maps {
    /// IPv4's.
    pub v4: FamilyMaps<Ipv4>,
    /// IPv6's.
    pub v6: FamilyMaps<Ipv6>,
    /// Service id → its lists.
    pub services: HashMap<u32, Service>,
    /// Service id → what it stands for.
    pub names: HashMap<u32, ServiceName>,
    /// Cookie of a TCP socket → the service that it speaks to.
    pub connections: HashMap<u64, Connection>,
    /// Cookie of a UDP socket, frontend or backend → one of the services that it speaks to.
    pub socket_peers: HashMap<PeerKey, Peer>,
    /// Slot → backend index.
    pub slots: Array<u32>,
    /// Service id → what was counted.
    pub counters: PerCpuArray<ServiceCounters>,
    /// Program → what it finished.
    pub programs: PerCpuArray<ProgramCounters>,
    /// Drop reason → packets.
    pub drops: PerCpuArray<u64>,
    /// What the agent knows of the node.
    pub settings: Array<Settings>,
    /// Slot → what the agent knows of the interface.
    pub interfaces: Array<Interface>,
    /// ifindex → the same, of interfaces whose slot another has.
    pub other_interfaces: HashMap<u32, Interface>,
}

impl Maps {
    /// Opens what is pinned under a pin directory.
    pub fn open(pin_dir: &Path, access: Access) -> Result<Self, MapError> {
        let directory = &directory(pin_dir);
        Ok(Self {
            v4: FamilyMaps::open(directory, access)?,
            v6: FamilyMaps::open(directory, access)?,
            services: HashMap::open(directory, SERVICES, access)?,
            names: HashMap::open(directory, SERVICE_NAMES, access)?,
            connections: HashMap::open(directory, CONNECTIONS, access)?,
            socket_peers: HashMap::open(directory, SOCKET_PEERS, access)?,
            slots: Array::open(directory, SLOTS, access)?,
            counters: PerCpuArray::open(directory, "COUNTERS", access)?,
            programs: PerCpuArray::open(directory, "PROGRAMS", access)?,
            drops: PerCpuArray::open(directory, "DROPS", access)?,
            settings: Array::open(directory, "SETTINGS", access)?,
            interfaces: Array::open(directory, "INTERFACES", access)?,
            other_interfaces: HashMap::open(directory, "OTHER_INTERFACES", access)?,
        })
    }
}
