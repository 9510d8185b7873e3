//! Pod v1.

use super::{
    Validate,
    names::{is_dns_name, is_port_name},
    probe,
    values::{address, port, protocol, repeated},
};
use crate::source::{address::parse_address, family::Family, finding::Problem};
use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod, PodSpec, PodStatus};

impl Validate for Pod {
    fn validate(&self, problems: &mut Vec<Problem>) {
        if let Some(status) = &self.status {
            addresses(status, problems);
        }
        if let Some(spec) = &self.spec {
            validate_spec(spec, problems);
        }
    }
}

fn addresses(status: &PodStatus, problems: &mut Vec<Problem>) {
    if let Some(pod_ip) = status.pod_ip.as_deref().filter(|address| !address.is_empty()) {
        address(problems, "status.podIP", pod_ip, None);
    }
    let pod_ips = status.pod_ips.iter().flatten().enumerate();
    let pod_ips: Vec<_> =
        pod_ips.map(|(index, pod_ip)| (format!("status.podIPs[{index}].ip"), pod_ip.ip.as_str())).collect();
    for (field, text) in &pod_ips {
        address(problems, field, text, None);
    }
    let families = pod_ips.into_iter().filter_map(|(field, text)| Some((field, parse_address(text)?)));
    let families: Vec<_> = families.map(|(field, address)| (field, Family::of(address))).collect();
    problems.extend(repeated(&families).map(|(field, family)| {
        Problem::error(
            field,
            format!("{field} is a second {family} address"),
            "a Pod has one address of each family",
            "leave it out; svc-lb uses the first of each family",
        )
    }));
}

fn validate_spec(spec: &PodSpec, problems: &mut Vec<Problem>) {
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty() && !is_dns_name(node)) {
        problems.push(Problem::error(
            "spec.nodeName",
            format!("spec.nodeName is {node:?}"),
            "no Node can have that name",
            "write another; until then it is compared as it stands",
        ));
    }
    for (index, container) in spec.containers.iter().enumerate() {
        validate_container(&format!("spec.containers[{index}]"), container, problems);
    }
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let field = format!("spec.initContainers[{index}]");
        validate_container(&field, container, problems);
        let is_sidecar = container.restart_policy.as_deref() == Some("Always");
        if container.readiness_probe.is_some() && !is_sidecar {
            let field = format!("{field}.readinessProbe");
            problems.push(Problem::error(
                &field,
                format!("{field} is given"),
                "an init container has ended when the Pod becomes ready, unless its restartPolicy is Always",
                "leave it out",
            ));
        }
    }
}

fn validate_container(field: &str, container: &Container, problems: &mut Vec<Problem>) {
    let ports = container.ports.as_deref().unwrap_or_default();
    validate_ports(field, ports, problems);
    if let Some(probe) = &container.readiness_probe {
        probe::validate(&format!("{field}.readinessProbe"), probe, ports, problems);
    }
}

fn validate_ports(field: &str, ports: &[ContainerPort], problems: &mut Vec<Problem>) {
    let mut names = Vec::new();
    for (index, container_port) in ports.iter().enumerate() {
        let field = format!("{field}.ports[{index}]");
        port(problems, &format!("{field}.containerPort"), container_port.container_port);
        protocol(problems, &format!("{field}.protocol"), container_port.protocol.as_deref());
        let Some(name) = container_port.name.as_deref().filter(|name| !name.is_empty()) else { continue };
        if !is_port_name(name) {
            problems.push(Problem::refusal(
                format!("{field}.name"),
                format!("{field}.name is {name:?}"),
                "a name has lower-case letters, digits and '-', at most 15 of them, at least one a letter",
                "give it another name",
            ));
        }
        names.push((format!("{field}.name"), name));
    }
    problems.extend(repeated(&names).map(|(field, name)| {
        Problem::error(
            field,
            format!("{field} is {name:?} a second time"),
            "the ports of a container have different names",
            "give it another name; until then the first with a Service port's targetPort and protocol is used",
        )
    }));
}
