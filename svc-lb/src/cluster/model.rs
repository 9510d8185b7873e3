//! What is known of the cluster, in svc-lb's own words.

use crate::source::{Family, Name, Origin, Protocol};
use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr};

/// The cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The Services that svc-lb serves, the older first: by creation time, then by namespace and name.
    /// One that was never in a cluster has no creation time, and comes after those that have.
    pub services: Vec<Service>,
    /// The Nodes by their names.
    pub nodes: BTreeMap<String, Node>,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its InternalIPs.
    pub addresses: Vec<IpAddr>,
    /// Where the addresses of its pods come from: `spec.podCIDRs`, else `spec.podCIDR`.
    pub pod_cidrs: Vec<IpNet>,
}

/// A Service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// The families it is served in.
    pub families: Vec<Family>,
    /// Its ClusterIPs, at most one of each family.
    pub cluster_ips: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Where it was written down.
    pub origin: Origin,
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
    /// The endpoints of both families, by address and port, each once.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint of a Service port. The conditions are those of discovery.k8s.io/v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Endpoint {
    /// Sorts endpoints by address and port. Of those that are equal in both, one that is not terminating
    /// is kept, if possible a ready one, else a serving one.
    pub(super) fn merge(mut endpoints: Vec<Self>) -> Vec<Self> {
        let place = |endpoint: &Self| (endpoint.address, endpoint.port);
        endpoints.sort_unstable_by_key(|endpoint| {
            (place(endpoint), endpoint.terminating, !endpoint.ready, !endpoint.serving)
        });
        endpoints.dedup_by_key(|endpoint| place(endpoint));
        endpoints
    }
}
