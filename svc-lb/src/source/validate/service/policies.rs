//! What a Service says about the choice of its endpoints.

use super::{is_external, needs_health_check};
use crate::source::{
    finding::Problem,
    validate::values::{misplaced, one_of, port, tolerating},
};
use k8s_openapi::api::core::v1::ServiceSpec;

/// The longest time for which a client may stay with its endpoint, in seconds.
const LONGEST_AFFINITY: i32 = 86400;

pub fn validate(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    affinity(spec, problems);
    external_traffic(spec, problems);
    let policies = ["Cluster", "Local"];
    one_of(problems, "spec.internalTrafficPolicy", spec.internal_traffic_policy.as_deref(), &policies);
    let preferences = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    tolerating(problems, "it has no effect", |problems| {
        one_of(problems, "spec.trafficDistribution", spec.traffic_distribution.as_deref(), &preferences);
    });
}

fn affinity(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    let affinity = spec.session_affinity.as_deref();
    one_of(problems, "spec.sessionAffinity", affinity, &["None", "ClientIP"]);
    let Some(config) = &spec.session_affinity_config else { return };
    if affinity != Some("ClientIP") {
        problems.push(Problem::warning(
            "spec.sessionAffinityConfig",
            "spec.sessionAffinityConfig has no effect",
            "it is about spec.sessionAffinity, which is not ClientIP",
            "write sessionAffinity: ClientIP, or leave it out",
        ));
        return;
    }
    let timeout = config.client_ip.as_ref().and_then(|client_ip| client_ip.timeout_seconds);
    if let Some(timeout) = timeout.filter(|timeout| !(1..=LONGEST_AFFINITY).contains(timeout)) {
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        problems.push(Problem::error(
            field,
            format!("{field} is {timeout}"),
            format!("it is from 1 to {LONGEST_AFFINITY}"),
            "write one of these numbers; until then it is 10800, as where it is left out",
        ));
    }
}

fn external_traffic(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    let policy = spec.external_traffic_policy.as_deref().filter(|policy| !policy.is_empty());
    one_of(problems, "spec.externalTrafficPolicy", policy, &["Cluster", "Local"]);
    if policy.is_some() && !is_external(spec) {
        let why =
            "only Services of type NodePort or LoadBalancer, or with externalIPs, are for sources outside";
        misplaced(problems, "spec.externalTrafficPolicy", why);
    }
    let Some(number) = spec.health_check_node_port.filter(|number| *number != 0) else { return };
    if needs_health_check(spec) {
        tolerating(problems, "svc-lb gives one", |problems| {
            port(problems, "spec.healthCheckNodePort", number);
        });
    } else {
        let why = "only Services of type LoadBalancer with externalTrafficPolicy: Local have it";
        misplaced(problems, "spec.healthCheckNodePort", why);
    }
}
