//! Service v1.

use super::{Validate, address, is_dns_label, is_port_name, one_of, port, protocol, unique};
use crate::source::{
    address::parse_address,
    cluster_ips::{given_cluster_ips, is_headless},
    family::Family,
    finding::Problem,
};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

impl Validate for Service {
    fn validate(&self, problems: &mut Vec<Problem>) {
        let Some(spec) = &self.spec else {
            problems.push(Problem::error(
                "spec",
                "spec is missing",
                "it says what the Service is",
                "write one with ports and a selector",
            ));
            return;
        };
        let types = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
        one_of(problems, "spec.type", spec.type_.as_deref(), &types);
        if spec.type_.as_deref() == Some("ExternalName") {
            return;
        }
        let affinities = ["None", "ClientIP"];
        one_of(problems, "spec.sessionAffinity", spec.session_affinity.as_deref(), &affinities);
        let policies = ["Cluster", "Local"];
        one_of(problems, "spec.externalTrafficPolicy", spec.external_traffic_policy.as_deref(), &policies);
        one_of(problems, "spec.internalTrafficPolicy", spec.internal_traffic_policy.as_deref(), &policies);
        ports(problems, spec);
        cluster_ips(problems, spec);
        families(problems, spec);
    }
}

fn ports(problems: &mut Vec<Problem>, spec: &ServiceSpec) {
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && !is_headless(spec) {
        problems.push(Problem::error(
            "spec.ports",
            "spec.ports is missing or empty",
            "a Service answers at its ports",
            "write at least one",
        ));
    }
    let (mut names, mut numbers, mut node_ports) = (Vec::new(), Vec::new(), Vec::new());
    for (index, service_port) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        one_port(problems, &field, service_port);
        let transport = service_port.protocol.as_deref().unwrap_or("TCP");
        numbers.push((format!("{field}.port"), format!("{}/{transport}", service_port.port)));
        match service_port.name.as_deref().unwrap_or_default() {
            "" if ports.len() > 1 => problems.push(Problem::error(
                format!("{field}.name"),
                format!("{field} has no name"),
                "the ports of a Service that has several are told apart by their names",
                "give each a name, such as http",
            )),
            "" => {}
            name => names.push((format!("{field}.name"), name)),
        }
        if let Some(node_port) = service_port.node_port.filter(|number| *number != 0) {
            let field = format!("{field}.nodePort");
            if !matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer")) {
                problems.push(Problem::error(
                    &field,
                    format!("{field} is {node_port}"),
                    "a Service of type ClusterIP has no node ports",
                    "write type: NodePort, or leave it out",
                ));
            }
            port(problems, &field, node_port);
            node_ports.push((field, format!("{node_port}/{transport}")));
        }
    }
    unique(problems, &names, "the ports of a Service have different names", "give it another name");
    let mend = "write another number, or delete one of the two";
    unique(problems, &numbers, "a port of a Service is one number and protocol", mend);
    unique(problems, &node_ports, "a node port belongs to one port of one Service", mend);
}

fn one_port(problems: &mut Vec<Problem>, field: &str, service_port: &ServicePort) {
    port(problems, &format!("{field}.port"), service_port.port);
    protocol(problems, &format!("{field}.protocol"), service_port.protocol.as_deref());
    if let Some(name) = service_port.name.as_deref().filter(|name| !name.is_empty() && !is_dns_label(name)) {
        problems.push(Problem::error(
            format!("{field}.name"),
            format!("{field}.name is {name:?}"),
            "a name has lower-case letters, digits and '-', and at most 63 of them",
            "give it another name",
        ));
    }
    let field = format!("{field}.targetPort");
    match &service_port.target_port {
        // Both mean the same as leaving it out: the Service's own port.
        None | Some(IntOrString::Int(0)) => {}
        Some(IntOrString::String(name)) if name.is_empty() => {}
        Some(IntOrString::Int(number)) => port(problems, &field, *number),
        Some(IntOrString::String(name)) if is_port_name(name) => {}
        Some(IntOrString::String(name)) => problems.push(Problem::error(
            &field,
            format!("{field} is {name:?}"),
            "it is a number, without quotes, or the name of a container's port: lower-case letters, digits and \
             '-', at most 15 of them, at least one a letter",
            "write one of these",
        )),
    }
}

fn cluster_ips(problems: &mut Vec<Problem>, spec: &ServiceSpec) {
    let given = given_cluster_ips(spec);
    let single = spec.cluster_ip.as_deref().unwrap_or_default();
    if given.first().is_some_and(|(_, first)| !single.is_empty() && single != *first) {
        problems.push(Problem::error(
            "spec.clusterIP",
            format!("spec.clusterIP is {single}"),
            "it is the first of spec.clusterIPs, which is another",
            "leave out one of the two fields",
        ));
    }
    if let [(_, "None")] = given[..] {
        return;
    }
    for (index, (field, text)) in given.iter().enumerate() {
        let family = spec.ip_families.iter().flatten().nth(index);
        address(problems, field, text, family.and_then(|family| Family::from_name(family)));
    }
    let given_families: Vec<_> = given
        .into_iter()
        .filter_map(|(field, text)| Some((field, Family::of(parse_address(text)?))))
        .collect();
    unique(problems, &given_families, "a Service has one ClusterIP of each family", "leave it out");
}

fn families(problems: &mut Vec<Problem>, spec: &ServiceSpec) {
    let policies = ["SingleStack", "PreferDualStack", "RequireDualStack"];
    one_of(problems, "spec.ipFamilyPolicy", spec.ip_family_policy.as_deref(), &policies);
    let families = spec.ip_families.iter().flatten().enumerate();
    let families: Vec<_> =
        families.map(|(index, family)| (format!("spec.ipFamilies[{index}]"), family)).collect();
    for (field, family) in &families {
        one_of(problems, field, Some(family.as_str()), &["IPv4", "IPv6"]);
    }
    unique(problems, &families, "it names each family once", "leave it out");
    let several = families.len().max(given_cluster_ips(spec).len()) > 1;
    if several && spec.ip_family_policy.as_deref() == Some("SingleStack") {
        problems.push(Problem::error(
            "spec.ipFamilyPolicy",
            "spec.ipFamilyPolicy is SingleStack",
            "the Service names two families",
            "write PreferDualStack, or name one family only",
        ));
    }
}
