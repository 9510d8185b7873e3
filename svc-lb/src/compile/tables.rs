//! The desired state of the BPF maps, in words: no ids, no indexes. `dataplane::sync` gives those.

pub use crate::source::{Family, Protocol};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Everything that the programs are to know of the services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// The backends of each Service port and family.
    pub services: BTreeMap<Arc<ServicePort>, Lists>,
    /// What svc-lb answers for.
    pub frontends: BTreeMap<Frontend, Target>,
    /// Every address that occurs in a frontend, and who else answers there.
    pub addresses: BTreeMap<IpAddr, Ownership>,
}

/// One port of one Service in one family: what a service id stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.ports[].name`; empty for the one unnamed port.
    pub port: String,
    /// `spec.ports[].protocol`.
    pub protocol: Protocol,
    /// The family of its frontends and backends.
    pub family: Family,
}

impl fmt::Display for ServicePort {
    /// `namespace/name` and, if the port has a name, `:port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The backends of a Service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// For new connections of sources inside the cluster, in the order in which they are chosen.
    pub internal: Vec<SocketAddr>,
    /// The same of sources outside the cluster.
    pub external: Vec<SocketAddr>,
    /// Those that no new connection gets, and that keep the connections that they have.
    pub draining: BTreeSet<SocketAddr>,
}

/// An address, port and protocol that svc-lb answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// Address.
    pub address: IpAddr,
    /// Port, not 0.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Frontend {
    /// `address:port/PROTOCOL`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", SocketAddr::new(self.address, self.port), self.protocol)
    }
}

/// What a frontend leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A key of [`Tables::services`].
    pub service: Arc<ServicePort>,
    /// Where the frontend comes from.
    pub kind: FrontendKind,
}

/// Where a frontend comes from, which decides who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrontendKind {
    /// `spec.clusterIPs`: for pods and the node.
    ClusterIp,
    /// `spec.ports[].nodePort` on an address of the node: for everyone.
    NodePort,
}

/// Who answers at an address for what is not a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Nobody: the address is a ClusterIP, so svc-lb rejects.
    Virtual,
    /// The node's own stack.
    Node,
}
