//! EndpointSlice discovery.k8s.io/v1.

use super::{
    Validate,
    names::{is_dns_label, is_dns_name, is_label_value},
    values::{address, app_protocol, at_most, one_of, port, port_name, protocol, repeated, tolerating},
};
use crate::source::{family::Family, finding::Problem, labels};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointPort, EndpointSlice};

const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20000;
const MOST_HINTS: usize = 8;

impl Validate for EndpointSlice {
    fn validate(&self, problems: &mut Vec<Problem>) {
        if self.address_type.is_empty() {
            problems.push(Problem::refusal(
                "addressType",
                "addressType is missing",
                "all addresses of a slice are of one type",
                "write IPv4 or IPv6",
            ));
        }
        one_of(problems, "addressType", Some(&self.address_type), &["IPv4", "IPv6", "FQDN"]);
        if self.address_type == "FQDN" {
            problems.push(Problem::info(
                "addressType",
                "addressType is FQDN",
                "such endpoints are names, which have no meaning to a proxy",
                "svc-lb leaves them alone",
            ));
        }
        if !labels::has(self, labels::SERVICE_NAME) {
            problems.push(Problem::warning(
                "metadata.labels",
                format!("the label {} is missing", labels::SERVICE_NAME),
                "it says which Service the slice belongs to",
                "until it is there, the slice is not used",
            ));
        }
        let endpoints = self.endpoints.as_deref().unwrap_or_default();
        at_most(problems, "endpoints", endpoints.len(), MOST_ENDPOINTS);
        for (index, endpoint) in endpoints.iter().enumerate() {
            validate_endpoint(&format!("endpoints[{index}]"), endpoint, &self.address_type, problems);
        }
        let ports = self.ports.as_deref().unwrap_or_default();
        at_most(problems, "ports", ports.len(), MOST_PORTS);
        validate_ports(ports, problems);
    }
}

fn validate_endpoint(field: &str, endpoint: &Endpoint, address_type: &str, problems: &mut Vec<Problem>) {
    addresses(&format!("{field}.addresses"), &endpoint.addresses, address_type, problems);
    let texts = [
        ("hostname", &endpoint.hostname, is_dns_label as fn(&str) -> bool),
        ("nodeName", &endpoint.node_name, is_dns_name),
    ];
    for (leaf, text, is_good) in texts {
        if let Some(text) = text {
            name(&format!("{field}.{leaf}"), text, is_good, problems);
        }
    }
    if let Some(zone) = endpoint.zone.as_ref().filter(|zone| !is_label_value(zone)) {
        let field = format!("{field}.zone");
        let what = format!("{field} is {zone:?}");
        let why = "no Node can be in that zone, which is a label of its";
        problems.push(Problem::warning(field, what, why, "write that of the endpoint's Node"));
    }
    if let Some(hints) = &endpoint.hints {
        validate_hints(&format!("{field}.hints"), hints, problems);
    }
}

fn addresses(field: &str, addresses: &[String], address_type: &str, problems: &mut Vec<Problem>) {
    if addresses.is_empty() {
        problems.push(Problem::refusal(
            field,
            format!("{field} is missing or empty"),
            "an endpoint is an address",
            "write one, or delete the endpoint",
        ));
    }
    at_most(problems, field, addresses.len(), MOST_ADDRESSES);
    for (index, text) in addresses.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if let Some(family) = Family::from_name(address_type) {
            let check = |problems: &mut Vec<Problem>| address(problems, &field, text, Some(family));
            match index {
                0 => check(problems),
                // A slice's consumers use the first address only.
                _ => tolerating(problems, "the first address is used", check),
            }
        } else if address_type == "FQDN" {
            domain_name(&field, text, problems);
        }
    }
}

/// Checks an address of a slice of names, which has a dot within it and may end with one.
fn domain_name(field: &str, text: &str, problems: &mut Vec<Problem>) {
    let name = text.strip_suffix('.').unwrap_or(text);
    if !is_dns_name(name) || !name.contains('.') {
        let what = format!("{field} is {text:?}");
        let why = "that is no full name in the DNS, such as db.example.org";
        problems.push(Problem::error(field, what, why, "write one; svc-lb leaves all of them alone"));
    }
}

fn validate_hints(field: &str, hints: &EndpointHints, problems: &mut Vec<Problem>) {
    let names = |list, names: Vec<&String>| -> Vec<_> {
        let names = names.into_iter().enumerate();
        names.map(|(index, name)| (format!("{field}.{list}[{index}].name"), name.clone())).collect()
    };
    let zones = hints.for_zones.iter().flatten().map(|zone| &zone.name).collect();
    let nodes = hints.for_nodes.iter().flatten().map(|node| &node.name).collect();
    let lists = [
        ("forZones", names("forZones", zones), is_label_value as fn(&str) -> bool),
        ("forNodes", names("forNodes", nodes), is_dns_name),
    ];
    for (list, names, is_good) in lists {
        at_most(problems, &format!("{field}.{list}"), names.len(), MOST_HINTS);
        problems.extend(repeated(&names).map(|(field, name)| {
            let what = format!("{field} is {name:?} a second time");
            Problem::error(field, what, "once is enough", "delete one of the two")
        }));
        for (field, text) in &names {
            name(field, text, is_good, problems);
        }
    }
}

/// Checks a name that is only compared with others.
fn name(field: &str, text: &str, is_good: impl Fn(&str) -> bool, problems: &mut Vec<Problem>) {
    if !is_good(text) {
        problems.push(Problem::error(
            field,
            format!("{field} is {text:?}"),
            "nothing can have that name",
            "write another; until then it is compared as it stands",
        ));
    }
}

fn validate_ports(ports: &[EndpointPort], problems: &mut Vec<Problem>) {
    let mut names = Vec::new();
    for (index, slice_port) in ports.iter().enumerate() {
        let field = format!("ports[{index}]");
        let name = slice_port.name.as_deref();
        port_name(problems, &format!("{field}.name"), name);
        protocol(problems, &format!("{field}.protocol"), slice_port.protocol.as_deref());
        app_protocol(problems, &format!("{field}.appProtocol"), slice_port.app_protocol.as_deref());
        // A port without a number is allowed: it stands for none.
        if let Some(number) = slice_port.port.filter(|number| *number != 0) {
            port(problems, &format!("{field}.port"), number);
        }
        names.push((format!("{field}.name"), name.unwrap_or_default()));
    }
    problems.extend(repeated(&names).map(|(field, name)| {
        Problem::error(
            field,
            format!("{field} is {name:?} a second time"),
            "the ports of a slice have different names",
            "give it another name; until then the first with a Service port's name and protocol is used",
        )
    }));
}
