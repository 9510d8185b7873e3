//! What a Service asks for and this version of svc-lb does not do, or what no proxy does for it.

use super::{cluster_ips::is_headless, finding::Problem, labels};
use k8s_openapi::api::core::v1::Service;

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
    }
}
