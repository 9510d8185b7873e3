//! What is known of the cluster, in svc-lb's own words.

use crate::source::{Family, Hints, Name, Origin, Problem, Protocol};
use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use svc_lb_common::selection::Algorithm;

/// The cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The Services that svc-lb serves, the older first: by creation time, then by namespace and name.
    /// One that was never in a cluster has no creation time, and comes after those that have.
    pub services: Vec<Service>,
    /// The Services that have no address to be served at, in the same order.
    pub unserved: Vec<Unserved>,
    /// The Nodes by their names.
    pub nodes: BTreeMap<String, Node>,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its InternalIPs.
    pub addresses: Vec<IpAddr>,
    /// Its label `topology.kubernetes.io/zone`, unless that is empty.
    pub zone: Option<String>,
    /// Where the addresses of its pods come from: `spec.podCIDRs`, else `spec.podCIDR`.
    pub pod_cidrs: Vec<IpNet>,
}

/// A Service that leads to its endpoints by DNS alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Its name.
    pub name: Name,
    /// Why there is nothing to serve.
    pub kind: UnservedKind,
}

/// What a Service without an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnservedKind {
    /// Of type ExternalName: another name for this one (`spec.externalName`).
    ExternalName(String),
    /// Headless (`clusterIP: None`): its name stands for the addresses of its endpoints.
    Headless,
}

/// A Service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: Arc<Name>,
    /// The families it is served in.
    pub families: Vec<Family>,
    /// Its ClusterIPs, at most one of each family.
    pub cluster_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` of a Service of type LoadBalancer, without those whose `ipMode` says
    /// that the load balancer answers for itself.
    pub load_balancer_ips: Vec<Listed>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<Listed>,
    /// Who may use the addresses of the load balancer.
    pub source_ranges: SourceRanges,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`, where the Service is meant for sources outside the cluster.
    pub external_policy: TrafficPolicy,
    /// How an endpoint is chosen: the annotation `svc-lb.io/algorithm`.
    pub algorithm: Algorithm,
    /// For how many seconds a client keeps its endpoint (`spec.sessionAffinity: ClientIP`); 0: not at all.
    pub affinity_timeout: u32,
    /// `spec.healthCheckNodePort`, or the port that svc-lb gave: where load balancers ask whether this node has
    /// endpoints. Only of a Service of type LoadBalancer whose external policy is `Local`.
    pub health_check_port: Option<u16>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Where it was written down.
    pub origin: Origin,
    /// What is wrong with its endpoints.
    pub problems: Vec<Problem>,
}

impl Service {
    /// The addresses of the endpoints of all its ports.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ports.iter().flat_map(|port| &port.endpoints).map(|endpoint| endpoint.address)
    }
}

/// An address, and its place in the list of the manifest that it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The place, from 0.
    pub index: usize,
    /// The address.
    pub address: IpAddr,
}

/// `spec.loadBalancerSourceRanges`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRanges {
    /// Those that can be read, of both families.
    pub ranges: Vec<IpNet>,
    /// Whether there are some that cannot: they were meant to keep somebody out.
    pub unreadable: bool,
}

/// Which endpoints a connection may get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Those of the whole cluster.
    #[default]
    Cluster,
    /// Those of this node. Where there are none, the connection is dropped, and refused where there are
    /// none elsewhere either.
    Local,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The place of the port in `spec.ports`.
    pub index: usize,
    /// `name`, empty for the one unnamed port.
    pub name: String,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`.
    pub number: u16,
    /// `nodePort`; `None` where the Service is of type ClusterIP, or there is none for it.
    pub node_port: Option<u16>,
    /// The endpoints of both families, by address and port (so IPv4 comes first), each once.
    pub endpoints: Vec<Endpoint>,
}

impl Port {
    /// The endpoints of one family.
    pub fn endpoints_of(&self, family: Family) -> &[Endpoint] {
        let (v4, v6) = self.endpoints.split_at(self.endpoints.partition_point(|it| it.address.is_ipv4()));
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

/// An endpoint of a Service port. The conditions and hints are those of discovery.k8s.io/v1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it takes new connections.
    pub ready: bool,
    /// Whether it answers on the connections that it has; unlike `ready` also while it terminates.
    pub serving: bool,
    /// Whether it is about to go.
    pub terminating: bool,
    /// The name of its Node, if that is known.
    pub node: Option<Arc<str>>,
    /// Who should prefer it.
    pub hints: Hints,
    /// How many connections it gets where one of weight 1 gets one, from 1 to 100.
    pub weight: u8,
}

impl Endpoint {
    /// Sorts endpoints by address and port. Of those that are equal in both, one that is not terminating
    /// is kept, if possible a ready one, else a serving one; of those that are alike, the first.
    pub(super) fn merge(mut endpoints: Vec<Self>) -> Vec<Self> {
        let place = |endpoint: &Self| (endpoint.address, endpoint.port);
        endpoints.sort_by_key(|endpoint| {
            (place(endpoint), endpoint.terminating, !endpoint.ready, !endpoint.serving)
        });
        endpoints.dedup_by_key(|endpoint| place(endpoint));
        endpoints
    }
}
