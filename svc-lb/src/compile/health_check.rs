//! What load balancers want to know of this node.

use super::choice::Place;
use crate::{
    cluster::{Endpoint, Service},
    source::{Family, Name},
};
use std::{collections::BTreeSet, net::IpAddr};

/// The health check of a Service of type LoadBalancer that is served by the endpoints of each node alone. It
/// answers at the addresses of node ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The Service.
    pub service: Name,
    /// `spec.healthCheckNodePort`, or the port that svc-lb gave.
    pub port: u16,
    /// How many ready endpoints this node has; one counts once for all of its ports, and once for both of its
    /// families.
    pub local_endpoints: u32,
}

impl HealthCheck {
    pub(super) fn new(service: &Service, port: u16, place: Place<'_>) -> Self {
        let local_addresses = |family| {
            let endpoints = service.ports.iter().flat_map(move |port| port.endpoints_of(family));
            let local = |endpoint: &&Endpoint| endpoint.ready && place.has(endpoint);
            endpoints.filter(local).map(|endpoint| endpoint.address).collect::<BTreeSet<IpAddr>>().len()
        };
        let local_endpoints = local_addresses(Family::V4).max(local_addresses(Family::V6));
        let local_endpoints = u32::try_from(local_endpoints).unwrap_or(u32::MAX);
        Self { service: Name::clone(&service.name), port, local_endpoints }
    }
}
