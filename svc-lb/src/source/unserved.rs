//! Services for which svc-lb has nothing to do.

use super::{cluster_ips::is_headless, finding::Problem, labels};
use k8s_openapi::api::core::v1::Service;

/// Why a Service is not served, if it is not.
pub fn unserved(service: &Service) -> Option<Problem> {
    let spec = service.spec.as_ref()?;
    if labels::has(service, labels::SERVICE_PROXY_NAME) {
        Some(Problem::info(
            "metadata.labels",
            format!("the Service carries the label {}", labels::SERVICE_PROXY_NAME),
            "that gives it to another proxy",
            "svc-lb leaves it alone",
        ))
    } else if spec.type_.as_deref() == Some("ExternalName") {
        Some(Problem::info(
            "spec.type",
            "the Service is of type ExternalName",
            "it is a name in the DNS, without an address",
            "there is nothing for svc-lb to serve",
        ))
    } else if is_headless(spec) {
        Some(Problem::info(
            "spec.clusterIP",
            "the Service is headless",
            "it has no address; its name leads straight to the endpoints",
            "there is nothing for svc-lb to serve",
        ))
    } else {
        None
    }
}
