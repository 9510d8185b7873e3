//! What only Services of type LoadBalancer have.

use super::{LOAD_BALANCER, type_of};
use crate::source::{
    address::{parse_address, why_unusable},
    finding::Problem,
    validate::{
        names::{is_dns_name, is_qualified_name},
        values::{misplaced, range, spelling, tolerating},
    },
};
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServiceSpec};

/// The field [`ServiceSpec::load_balancer_source_ranges`] of old, which Kubernetes still checks.
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

pub fn validate(service: &Service, spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    let is_load_balancer = type_of(spec) == LOAD_BALANCER;
    if !is_load_balancer {
        only_for_load_balancers(spec, problems);
    } else if let Some(class) = spec.load_balancer_class.as_deref().filter(|class| !is_qualified_name(class))
    {
        problems.push(Problem::error(
            "spec.loadBalancerClass",
            format!("spec.loadBalancerClass is {class:?}"),
            "it is a name such as example.org/internal",
            "write another; what svc-lb does is the same for all",
        ));
    }
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    let annotations = service.metadata.annotations.as_ref();
    if !ranges.is_empty() {
        source_ranges(ranges, is_load_balancer, problems);
    } else if let Some(ranges) = annotations.and_then(|annotations| annotations.get(SOURCE_RANGES)) {
        annotated_source_ranges(ranges, is_load_balancer, problems);
    }
    if is_load_balancer && spec.load_balancer_ip.as_ref().is_some_and(|address| !address.is_empty()) {
        problems.push(Problem::warning(
            "spec.loadBalancerIP",
            "spec.loadBalancerIP has no effect",
            "it is a request to who gives load balancers their addresses",
            "svc-lb answers at those of status.loadBalancer.ingress",
        ));
    }
    let status = service.status.iter().filter_map(|status| status.load_balancer.as_ref());
    let ingress: Vec<_> = status.flat_map(|status| status.ingress.iter().flatten()).collect();
    if !is_load_balancer && !ingress.is_empty() {
        problems.push(Problem::error(
            "status.loadBalancer.ingress",
            "the Service has addresses of a load balancer",
            format!("its type is {}", type_of(spec)),
            "write type: LoadBalancer, or delete them; until then nobody answers there",
        ));
    }
    for (index, ingress) in ingress.into_iter().enumerate() {
        validate_ingress(&format!("status.loadBalancer.ingress[{index}]"), ingress, problems);
    }
}

fn only_for_load_balancers(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    let given = [
        ("spec.allocateLoadBalancerNodePorts", spec.allocate_load_balancer_node_ports.is_some()),
        ("spec.loadBalancerClass", spec.load_balancer_class.is_some()),
    ];
    for (field, _) in given.iter().filter(|(_, is_given)| *is_given) {
        misplaced(problems, field, "only Services of type LoadBalancer have it");
    }
}

/// Checks who may use the addresses of the load balancer.
fn source_ranges(ranges: &[String], is_load_balancer: bool, problems: &mut Vec<Problem>) {
    let field = "spec.loadBalancerSourceRanges";
    if !is_load_balancer {
        misplaced(problems, field, "only Services of type LoadBalancer have it");
    }
    for (index, text) in ranges.iter().enumerate() {
        let field = format!("{field}[{index}]");
        tolerating(problems, "it allows nobody", |problems| {
            // White space around a range is allowed.
            range(problems, &field, format!("{field} is {text:?}"), text.trim());
        });
    }
}

/// Checks the annotation that said the same before there was the field.
fn annotated_source_ranges(ranges: &str, is_load_balancer: bool, problems: &mut Vec<Problem>) {
    let field = format!("metadata.annotations.{SOURCE_RANGES}");
    if is_load_balancer {
        problems.push(Problem::warning(
            &field,
            format!("the annotation {SOURCE_RANGES} has no effect"),
            "svc-lb, like kube-proxy, reads spec.loadBalancerSourceRanges",
            format!("write loadBalancerSourceRanges: [{ranges}]"),
        ));
    } else {
        misplaced(problems, &field, "only Services of type LoadBalancer have it");
    }
    for text in ranges.split(',').filter(|_| !ranges.trim().is_empty()) {
        tolerating(problems, "it has no effect, as all of them", |problems| {
            range(problems, &field, format!("a range of {SOURCE_RANGES} is {text:?}"), text.trim());
        });
    }
}

/// Checks what the load balancer gave: an address or a name.
fn validate_ingress(field: &str, ingress: &LoadBalancerIngress, problems: &mut Vec<Problem>) {
    let given = |value: &'_ Option<String>| value.clone().filter(|text| !text.is_empty());
    let address = given(&ingress.ip);
    if let Some(text) = &address {
        validate_address(&format!("{field}.ip"), text, problems);
    }
    let mode_field = format!("{field}.ipMode");
    match ingress.ip_mode.as_deref() {
        Some(_) if address.is_none() => {
            misplaced(problems, &mode_field, "it is about ip, which is not given");
        }
        Some(mode) if !matches!(mode, "VIP" | "Proxy") => problems.push(Problem::error(
            &mode_field,
            format!("{mode_field} is {mode:?}"),
            "it is VIP or Proxy",
            "write one of them; until then svc-lb leaves the address alone, as for Proxy",
        )),
        _ => {}
    }
    let name = given(&ingress.hostname).filter(|name| !is_dns_name(name) || parse_address(name).is_some());
    if let Some(name) = name {
        let field = format!("{field}.hostname");
        problems.push(Problem::error(
            &field,
            format!("{field} is {name:?}"),
            "it is a name in the DNS",
            "write one, or give an address by ip; svc-lb reads addresses only",
        ));
    }
}

fn validate_address(field: &str, text: &str, problems: &mut Vec<Problem>) {
    let what = format!("{field} is {text:?}");
    let Some(address) = parse_address(text) else {
        let mend = "write one, such as 192.0.2.1; until then nobody answers there";
        problems.push(Problem::error(field, what, "that is not an IP address", mend));
        return;
    };
    match why_unusable(address) {
        Some(why) => problems.push(Problem::warning(field, what, why, "write an ordinary unicast address")),
        None => spelling(problems, field, text, address),
    }
}
