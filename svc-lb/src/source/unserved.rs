//! What a Service asks for and this version of svc-lb does not do, or what no proxy does for it.

use super::{cluster_ips::is_headless, finding::Problem, labels};
use k8s_openapi::api::core::v1::{Service, ServiceSpec};

/// Adds what is not served of a Service.
pub fn unserved(service: &Service, problems: &mut Vec<Problem>) {
    let Some(spec) = &service.spec else { return };
    if labels::has(service, labels::SERVICE_PROXY_NAME) {
        problems.push(Problem::info(
            "metadata.labels",
            format!("the Service carries the label {}", labels::SERVICE_PROXY_NAME),
            "that gives it to another proxy",
            "svc-lb leaves it alone",
        ));
        return;
    }
    if spec.type_.as_deref() == Some("ExternalName") {
        problems.push(Problem::info(
            "spec.type",
            "the Service is of type ExternalName",
            "it is a name in the DNS, without an address",
            "there is nothing for svc-lb to serve",
        ));
        return;
    }
    if is_headless(spec) {
        problems.push(Problem::info(
            "spec.clusterIP",
            "the Service is headless",
            "it has no address; its name leads straight to the endpoints",
            "there is nothing for svc-lb to serve",
        ));
        return;
    }
    addresses(spec, problems);
    policies(spec, problems);
}

fn addresses(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    if spec.type_.as_deref() == Some("LoadBalancer") {
        problems.push(Problem::unserved(
            "spec.type",
            "the Service is of type LoadBalancer",
            "until then its ClusterIPs and node ports are served, the addresses of the load balancer are not",
        ));
    }
    if spec.external_ips.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
        problems.push(Problem::unserved(
            "spec.externalIPs",
            "the Service has external IPs",
            "until then nobody answers at these addresses",
        ));
    }
}

fn policies(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    if spec.external_traffic_policy.as_deref() == Some("Local") {
        problems.push(Problem::unserved(
            "spec.externalTrafficPolicy",
            "spec.externalTrafficPolicy is Local",
            "until then it is taken for Cluster, and endpoints on every node are used",
        ));
    }
    if spec.internal_traffic_policy.as_deref() == Some("Local") {
        problems.push(Problem::unserved(
            "spec.internalTrafficPolicy",
            "spec.internalTrafficPolicy is Local",
            "until then it is taken for Cluster, and endpoints on every node are used",
        ));
    }
    if spec.session_affinity.as_deref() == Some("ClientIP") {
        problems.push(Problem::unserved(
            "spec.sessionAffinity",
            "spec.sessionAffinity is ClientIP",
            "until then each connection of a client gets the next endpoint",
        ));
    }
    if let Some(preference) = spec.traffic_distribution.as_deref().filter(|preference| !preference.is_empty())
    {
        problems.push(Problem::unserved(
            "spec.trafficDistribution",
            format!("spec.trafficDistribution is {preference}"),
            "until then endpoints on every node are used alike",
        ));
    }
}
