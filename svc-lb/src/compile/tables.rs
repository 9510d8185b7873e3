//! The desired state of the BPF maps, in words: no ids, no indexes. `dataplane::sync` gives those.

pub use crate::{
    cluster::TrafficPolicy,
    source::{Family, Protocol},
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use svc_lb_common::selection::Algorithm;

/// Everything that the programs are to know of the services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// How the connections of each Service port and family find a backend.
    pub services: BTreeMap<Arc<ServicePort>, Service>,
    /// What svc-lb answers for.
    pub frontends: BTreeMap<Frontend, Target>,
    /// Every address that occurs in a frontend, and who else answers there.
    pub addresses: BTreeMap<IpAddr, Ownership>,
    /// Sources that are inside the cluster, wherever they come in (`--cluster-cidr`).
    pub cluster_cidrs: BTreeSet<IpNet>,
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

/// How the connections of a Service port find a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The backends. Who keeps what is in force has the same ones.
    pub lists: Arc<Lists>,
    /// `spec.internalTrafficPolicy`: of all who come by a ClusterIP.
    pub internal_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`: of those outside the cluster who come by another frontend. Those inside
    /// have the policy `Cluster` there, as if they came back in from a load balancer.
    pub external_policy: TrafficPolicy,
    /// How a list is walked.
    pub algorithm: Algorithm,
    /// For how many seconds a client keeps its backend (`spec.sessionAffinity: ClientIP`); 0: not at all.
    pub affinity_timeout: u32,
    /// The only sources that may use its load-balancer addresses; `None`: all may.
    pub source_ranges: Option<BTreeSet<IpNet>>,
}

impl From<Vec<SocketAddr>> for Service {
    /// Any of these endpoints, for everyone.
    fn from(endpoints: Vec<SocketAddr>) -> Self {
        let cluster = endpoints.into_iter().map(Weighted::from).collect();
        Self { lists: Arc::new(Lists { cluster, ..Lists::default() }), ..Self::default() }
    }
}

/// The backends of a Service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// For new connections under the policy `Cluster`, by address and port: the usable endpoints of the cluster,
    /// or those that are near. It is there also where no policy is `Cluster`, to tell whether there are
    /// endpoints elsewhere.
    pub cluster: Vec<Weighted>,
    /// The same under the policy `Local`: the usable endpoints of this node; empty where no policy is `Local`.
    pub local: Vec<Weighted>,
    /// Those that no new connection gets, and that keep the connections that they have.
    pub draining: BTreeSet<SocketAddr>,
}

impl Lists {
    /// How many endpoints new connections may get.
    pub fn count(&self) -> usize {
        let is_in_cluster =
            |it: &&Weighted| self.cluster.binary_search_by_key(&it.endpoint, |it| it.endpoint).is_ok();
        self.cluster.len() + self.local.iter().filter(|it| !is_in_cluster(it)).count()
    }

    /// The endpoints that new connections may get, each once.
    pub fn usable(&self) -> BTreeSet<SocketAddr> {
        self.cluster.iter().chain(&self.local).map(|it| it.endpoint).collect()
    }
}

/// An endpoint, and its share of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weighted {
    /// Where it is.
    pub endpoint: SocketAddr,
    /// How many connections it gets where one of weight 1 gets one; not 0.
    pub weight: u8,
}

impl From<SocketAddr> for Weighted {
    fn from(endpoint: SocketAddr) -> Self {
        Self { endpoint, weight: 1 }
    }
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
    /// `status.loadBalancer.ingress[].ip`: for everyone in the Service's source ranges.
    LoadBalancer,
    /// `spec.externalIPs`: for everyone.
    ExternalIp,
}

/// Who answers at an address for what is not a frontend. Of an address that is several things, the last of them
/// counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ownership {
    /// Nobody, and it is for the cluster only: a ClusterIP. svc-lb rejects.
    ClusterIp,
    /// Nobody, and it is for everyone: a load balancer's address, or an external IP. svc-lb rejects.
    External,
    /// The node's own stack.
    Node,
}
