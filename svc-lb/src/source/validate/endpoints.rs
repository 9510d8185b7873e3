//! Endpoints v1.

use super::{
    Validate,
    names::{is_dns_label, is_dns_name},
    values::{address, app_protocol, port, port_name, protocol},
};
use crate::source::finding::Problem;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints};

impl Validate for Endpoints {
    fn validate(&self, problems: &mut Vec<Problem>) {
        for (index, subset) in self.subsets.iter().flatten().enumerate() {
            validate_subset(&format!("subsets[{index}]"), subset, problems);
        }
    }
}

fn validate_subset(field: &str, subset: &EndpointSubset, problems: &mut Vec<Problem>) {
    let ready = subset.addresses.as_deref().unwrap_or_default();
    let not_ready = subset.not_ready_addresses.as_deref().unwrap_or_default();
    if ready.is_empty() && not_ready.is_empty() {
        problems.push(Problem::error(
            field,
            format!("{field} has no addresses"),
            "it has addresses, notReadyAddresses, or both",
            "write one, or delete the subset; until then it stands for no endpoint",
        ));
    }
    for (list, addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
        for (index, endpoint) in addresses.iter().enumerate() {
            validate_address(&format!("{field}.{list}[{index}]"), endpoint, problems);
        }
    }
    let ports = subset.ports.as_deref().unwrap_or_default();
    for (index, subset_port) in ports.iter().enumerate() {
        let field = format!("{field}.ports[{index}]");
        if ports.len() > 1 && subset_port.name.as_ref().is_none_or(String::is_empty) {
            problems.push(Problem::error(
                format!("{field}.name"),
                format!("{field} has no name"),
                "ports are told apart by their names",
                "give each that of the Service's port; until then this one is that of a port without name",
            ));
        }
        validate_port(&field, subset_port, problems);
    }
}

fn validate_address(field: &str, endpoint: &EndpointAddress, problems: &mut Vec<Problem>) {
    address(problems, &format!("{field}.ip"), &endpoint.ip, None);
    let names = [
        ("hostname", &endpoint.hostname, is_dns_label as fn(&str) -> bool),
        ("nodeName", &endpoint.node_name, is_dns_name),
    ];
    for (leaf, name, is_good) in names {
        if let Some(name) = name.as_ref().filter(|name| !name.is_empty() && !is_good(name)) {
            problems.push(Problem::error(
                format!("{field}.{leaf}"),
                format!("{field}.{leaf} is {name:?}"),
                "nothing can have that name",
                "write another; until then it is compared as it stands",
            ));
        }
    }
}

fn validate_port(field: &str, subset_port: &EndpointPort, problems: &mut Vec<Problem>) {
    port_name(problems, &format!("{field}.name"), subset_port.name.as_deref());
    port(problems, &format!("{field}.port"), subset_port.port);
    protocol(problems, &format!("{field}.protocol"), subset_port.protocol.as_deref());
    app_protocol(problems, &format!("{field}.appProtocol"), subset_port.app_protocol.as_deref());
}
