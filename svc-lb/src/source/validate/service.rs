//! Service v1.

mod addresses;
mod families;
mod load_balancer;
mod policies;
mod ports;

use super::{
    Validate, metadata,
    names::is_dns_name,
    values::{misplaced, one_of},
};
use crate::source::finding::Problem;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};

const CLUSTER_IP: &str = "ClusterIP";
const NODE_PORT: &str = "NodePort";
const LOAD_BALANCER: &str = "LoadBalancer";
const EXTERNAL_NAME: &str = "ExternalName";

impl Validate for Service {
    fn validate(&self, problems: &mut Vec<Problem>) {
        let Some(spec) = &self.spec else {
            problems.push(Problem::refusal(
                "spec",
                "spec is missing",
                "it says what the Service is",
                "write one with ports and a selector",
            ));
            return;
        };
        let types = [CLUSTER_IP, NODE_PORT, LOAD_BALANCER, EXTERNAL_NAME];
        one_of(problems, "spec.type", spec.type_.as_deref(), &types);
        metadata::labels(problems, "spec.selector", spec.selector.iter().flatten());
        ports::validate(spec, problems);
        if type_of(spec) == EXTERNAL_NAME {
            external_name(spec, problems);
        } else {
            addresses::cluster_ips(spec, problems);
            families::validate(spec, problems);
        }
        addresses::external_ips(spec, problems);
        load_balancer::validate(self, spec, problems);
        policies::validate(spec, problems);
    }
}

/// `spec.type`, also where it is left out.
fn type_of(spec: &ServiceSpec) -> &str {
    spec.type_.as_deref().filter(|name| !name.is_empty()).unwrap_or(CLUSTER_IP)
}

/// Whether others than the cluster's own may use the Service, so that a policy for them has a meaning.
fn is_external(spec: &ServiceSpec) -> bool {
    match type_of(spec) {
        NODE_PORT | LOAD_BALANCER => true,
        CLUSTER_IP => spec.external_ips.as_ref().is_some_and(|addresses| !addresses.is_empty()),
        _ => false,
    }
}

/// Whether whatever spreads traffic over the nodes is to ask each for its own endpoints.
fn needs_health_check(spec: &ServiceSpec) -> bool {
    type_of(spec) == LOAD_BALANCER && spec.external_traffic_policy.as_deref() == Some("Local")
}

/// A Service that is a name for another name.
fn external_name(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    let text = spec.external_name.as_deref().unwrap_or_default();
    let name = text.strip_suffix('.').unwrap_or(text);
    let mut error = |what: String, why: &str| {
        let mend = "write the name, such as db.example.org";
        problems.push(Problem::error("spec.externalName", what, why, mend));
    };
    if name.is_empty() {
        let why = "a Service of type ExternalName stands for a name in the DNS";
        error("spec.externalName is missing".to_owned(), why);
    } else if !is_dns_name(name) {
        let why = "a name in the DNS has lower-case letters, digits, '-' and '.', and at most 253 of them";
        error(format!("spec.externalName is {text:?}"), why);
    }
    let given = [
        ("spec.clusterIP", spec.cluster_ip.as_ref().is_some_and(|address| !address.is_empty())),
        ("spec.clusterIPs", spec.cluster_ips.as_ref().is_some_and(|addresses| !addresses.is_empty())),
        ("spec.ipFamilies", spec.ip_families.as_ref().is_some_and(|families| !families.is_empty())),
        ("spec.ipFamilyPolicy", spec.ip_family_policy.is_some()),
    ];
    for (field, _) in given.iter().filter(|(_, is_given)| *is_given) {
        misplaced(problems, field, "a Service of type ExternalName has no address");
    }
}
