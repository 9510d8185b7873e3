//! The ClusterIPs that a Service's manifest gives.

use k8s_openapi::api::core::v1::ServiceSpec;

/// The ClusterIPs, each with its field. `clusterIPs` has all of them; an older manifest has `clusterIP`
/// only. An empty one is as good as none.
pub fn given_cluster_ips(spec: &ServiceSpec) -> Vec<(String, &str)> {
    let several = spec.cluster_ips.iter().flatten().enumerate();
    let mut given: Vec<_> =
        several.map(|(index, address)| (format!("spec.clusterIPs[{index}]"), address.as_str())).collect();
    if given.is_empty() {
        given.extend(spec.cluster_ip.as_deref().map(|address| ("spec.clusterIP".to_owned(), address)));
    }
    given.retain(|(_, address)| !address.is_empty());
    given
}

/// Whether the Service asks for no virtual address (`clusterIP: None`).
pub fn is_headless(spec: &ServiceSpec) -> bool {
    given_cluster_ips(spec).iter().any(|(_, address)| *address == "None")
}
