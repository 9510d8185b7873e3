//! EndpointSlice discovery.k8s.io/v1 and Endpoints v1.

use super::{Validate, address, one_of, port, protocol};
use crate::source::{family::Family, finding::Problem, labels};
use k8s_openapi::api::{
    core::v1::{EndpointSubset, Endpoints},
    discovery::v1::EndpointSlice,
};

impl Validate for EndpointSlice {
    fn validate(&self, problems: &mut Vec<Problem>) {
        if self.address_type.is_empty() {
            problems.push(Problem::error(
                "addressType",
                "addressType is missing",
                "all addresses of a slice are of one type",
                "write IPv4 or IPv6",
            ));
        }
        one_of(problems, "addressType", Some(&self.address_type), &["IPv4", "IPv6", "FQDN"]);
        if labels::service_name(self).is_none() {
            problems.push(Problem::warning(
                "metadata.labels",
                format!("the label {} is missing", labels::SERVICE_NAME),
                "it says which Service the slice belongs to",
                "until it is there, the slice is not used",
            ));
        }
        if let Some(family) = Family::from_name(&self.address_type) {
            for (index, endpoint) in self.endpoints.iter().flatten().enumerate() {
                // A slice's consumers use the first address only.
                let field = format!("endpoints[{index}].addresses[0]");
                match endpoint.addresses.first() {
                    Some(text) => address(problems, &field, text, Some(family)),
                    None => problems.push(Problem::error(
                        format!("endpoints[{index}].addresses"),
                        format!("endpoints[{index}] has no address"),
                        "an endpoint is an address",
                        "write one, or delete the endpoint",
                    )),
                }
            }
        }
        for (index, slice_port) in self.ports.iter().flatten().enumerate() {
            protocol(problems, &format!("ports[{index}].protocol"), slice_port.protocol.as_deref());
            // A port without a number is allowed: it stands for none.
            if let Some(number) = slice_port.port.filter(|number| *number != 0) {
                port(problems, &format!("ports[{index}].port"), number);
            }
        }
    }
}

impl Validate for Endpoints {
    fn validate(&self, problems: &mut Vec<Problem>) {
        for (index, subset) in self.subsets.iter().flatten().enumerate() {
            validate_subset(problems, &format!("subsets[{index}]"), subset);
        }
    }
}

fn validate_subset(problems: &mut Vec<Problem>, field: &str, subset: &EndpointSubset) {
    let lists = [("addresses", &subset.addresses), ("notReadyAddresses", &subset.not_ready_addresses)];
    for (list, addresses) in lists {
        for (index, endpoint) in addresses.iter().flatten().enumerate() {
            address(problems, &format!("{field}.{list}[{index}].ip"), &endpoint.ip, None);
        }
    }
    for (index, subset_port) in subset.ports.iter().flatten().enumerate() {
        port(problems, &format!("{field}.ports[{index}].port"), subset_port.port);
        protocol(problems, &format!("{field}.ports[{index}].protocol"), subset_port.protocol.as_deref());
    }
}
