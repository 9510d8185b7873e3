//! `spec.ipFamilies` and `spec.ipFamilyPolicy` of a Service.

use crate::source::{
    cluster_ips::{given_cluster_ips, is_headless},
    finding::Problem,
    validate::values::{one_of, unique},
};
use k8s_openapi::api::core::v1::ServiceSpec;
use std::collections::BTreeMap;

pub fn validate(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    let policies = ["SingleStack", "PreferDualStack", "RequireDualStack"];
    one_of(problems, "spec.ipFamilyPolicy", spec.ip_family_policy.as_deref(), &policies);
    let families = spec.ip_families.iter().flatten().enumerate();
    let families: Vec<_> =
        families.map(|(index, family)| (format!("spec.ipFamilies[{index}]"), family)).collect();
    for (field, family) in &families {
        one_of(problems, field, Some(family.as_str()), &["IPv4", "IPv6"]);
    }
    unique(problems, &families, "it names each family once", "leave it out");
    let second_address = given_cluster_ips(spec).into_iter().nth(1).map(|(field, _)| field);
    let second_family = families.into_iter().nth(1).map(|(field, _)| field);
    if let Some(second) = second_family.or(second_address) {
        two_families(spec, &second, problems);
    }
}

/// Checks that the policy allows two families.
fn two_families(spec: &ServiceSpec, second: &str, problems: &mut Vec<Problem>) {
    let without_selector = spec.selector.as_ref().is_none_or(BTreeMap::is_empty);
    match spec.ip_family_policy.as_deref() {
        Some("SingleStack") => problems.push(Problem::refusal(
            "spec.ipFamilyPolicy",
            "spec.ipFamilyPolicy is SingleStack",
            "the Service names two families",
            "write PreferDualStack, or name one family only",
        )),
        // Whose endpoints are written by hand, and which has no address, may have both.
        None if !(is_headless(spec) && without_selector) => problems.push(Problem::error(
            second,
            "the Service names two families, and no spec.ipFamilyPolicy",
            "that means SingleStack, which allows one",
            "write ipFamilyPolicy: PreferDualStack; until then the Service is served in both",
        )),
        _ => {}
    }
}
