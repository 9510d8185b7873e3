//! The addresses that a Service names: its ClusterIPs and external IPs.

use super::{LOAD_BALANCER, NODE_PORT, type_of};
use crate::source::{
    address::parse_address,
    cluster_ips::{given_cluster_ips, is_headless},
    family::Family,
    finding::Problem,
    validate::values::{address, tolerating, unique},
};
use k8s_openapi::api::core::v1::ServiceSpec;

/// Checks `spec.clusterIP` and `spec.clusterIPs`, which say the same twice.
pub fn cluster_ips(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    let given = given_cluster_ips(spec);
    agreement(spec, &given, problems);
    if is_headless(spec) {
        headless(spec, &given, problems);
        return;
    }
    for (index, (field, text)) in given.iter().enumerate() {
        let family = spec.ip_families.iter().flatten().nth(index);
        address(problems, field, text, family.and_then(|family| Family::from_name(family)));
    }
    let families: Vec<_> = given
        .into_iter()
        .filter_map(|(field, text)| Some((field, Family::of(parse_address(text)?))))
        .collect();
    unique(problems, &families, "a Service has one ClusterIP of each family", "leave it out");
}

/// Checks that the two fields agree.
fn agreement(spec: &ServiceSpec, given: &[(String, &str)], problems: &mut Vec<Problem>) {
    let Some((_, first)) = given.first() else { return };
    let single = spec.cluster_ip.as_deref().unwrap_or_default();
    if single.is_empty() {
        problems.push(Problem::error(
            "spec.clusterIPs",
            "spec.clusterIPs is given without spec.clusterIP",
            "spec.clusterIP is the first of spec.clusterIPs",
            format!("write clusterIP: {first}, too; svc-lb takes it for that"),
        ));
    } else if single != *first {
        problems.push(Problem::refusal(
            "spec.clusterIP",
            format!("spec.clusterIP is {single}"),
            "it is the first of spec.clusterIPs, which is another",
            "leave out one of the two fields",
        ));
    }
}

/// Checks a Service without an address.
fn headless(spec: &ServiceSpec, given: &[(String, &str)], problems: &mut Vec<Problem>) {
    for (field, text) in given.iter().filter(|_| given.len() > 1) {
        problems.push(Problem::refusal(
            field,
            format!("{field} is {text}"),
            "None stands for no address at all, beside no other",
            "write None alone, or addresses",
        ));
    }
    let type_name = type_of(spec);
    if let ([(field, _)], NODE_PORT | LOAD_BALANCER) = (given, type_name) {
        problems.push(Problem::refusal(
            field,
            format!("{field} is None"),
            format!("a Service of type {type_name} has an address"),
            "leave it out, or write type: ClusterIP",
        ));
    }
}

/// Checks `spec.externalIPs`.
pub fn external_ips(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    for (index, text) in spec.external_ips.iter().flatten().enumerate() {
        tolerating(problems, "nobody answers there", |problems| {
            address(problems, &format!("spec.externalIPs[{index}]"), text, None);
        });
    }
}
