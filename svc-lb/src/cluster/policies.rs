//! What a Service says about the choice among its endpoints, besides its annotation.

use super::model::{self, TrafficPolicy};
use crate::source::{Problem, Service};

/// For how long a client keeps its endpoint where the manifest does not say, in seconds: three hours.
const AFFINITY_TIMEOUT: u32 = 10800;

/// The longest time that the API allows, in seconds: a day.
const LONGEST_AFFINITY_TIMEOUT: u32 = 86400;

pub fn internal_policy(service: &Service) -> TrafficPolicy {
    policy(service.internal_traffic_policy.as_deref())
}

/// The policy for sources outside the cluster; `Cluster` where the Service is not for them.
pub fn external_policy(service: &Service) -> TrafficPolicy {
    let is_external = match service.type_.as_deref() {
        Some("NodePort" | "LoadBalancer") => true,
        _ => !service.external_ips.is_empty(),
    };
    policy(service.external_traffic_policy.as_deref().filter(|_| is_external))
}

fn policy(field: Option<&str>) -> TrafficPolicy {
    if field == Some("Local") { TrafficPolicy::Local } else { TrafficPolicy::Cluster }
}

/// Whether load balancers ask each node for its endpoints, so as to send packets only where there are some.
pub fn needs_health_check(service: &Service) -> bool {
    service.type_.as_deref() == Some("LoadBalancer") && external_policy(service) == TrafficPolicy::Local
}

/// For how many seconds a client keeps its endpoint; 0: not at all.
pub fn affinity_timeout(service: &Service) -> u32 {
    if service.session_affinity.as_deref() != Some("ClientIP") {
        return 0;
    }
    let seconds = service.affinity_timeout_seconds;
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
    seconds.filter(|it| (1..=LONGEST_AFFINITY_TIMEOUT).contains(it)).unwrap_or(AFFINITY_TIMEOUT)
}

/// What is wrong where a policy is `Local` and no endpoint tells its Node, so that none is local anywhere.
pub fn nowhere_local(service: &model::Service) -> Option<Problem> {
    let policies = [
        ("spec.externalTrafficPolicy", service.external_policy),
        ("spec.internalTrafficPolicy", service.internal_policy),
    ];
    let (field, _) = policies.into_iter().find(|(_, policy)| *policy == TrafficPolicy::Local)?;
    let mut endpoints = service.ports.iter().flat_map(|port| &port.endpoints).peekable();
    endpoints.peek()?;
    endpoints.all(|endpoint| endpoint.node.is_none()).then(|| {
        Problem::warning(
            field,
            format!("{field} is Local"),
            "no endpoint of the Service tells which Node it is on, so connections are dropped on all of them",
            "write spec.nodeName into its Pods, or nodeName into its endpoints",
        )
    })
}
