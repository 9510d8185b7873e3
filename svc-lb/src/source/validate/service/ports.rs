//! `spec.ports` of a Service.

use super::{CLUSTER_IP, EXTERNAL_NAME, LOAD_BALANCER, needs_health_check, type_of};
use crate::source::{
    cluster_ips::is_headless,
    finding::Problem,
    validate::values::{app_protocol, port, port_name, port_reference, protocol, unique},
};
use k8s_openapi::{
    api::core::v1::{ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

/// The port of every node's kubelet.
const KUBELET: i32 = 10250;

pub fn validate(spec: &ServiceSpec, problems: &mut Vec<Problem>) {
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && !is_headless(spec) && type_of(spec) != EXTERNAL_NAME {
        problems.push(Problem::refusal(
            "spec.ports",
            "spec.ports is missing or empty",
            "a Service answers at its ports",
            "write at least one",
        ));
    }
    for (index, service_port) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        one_port(problems, &field, service_port);
        if ports.len() > 1 && name(service_port).is_empty() {
            problems.push(Problem::refusal(
                format!("{field}.name"),
                format!("{field} has no name"),
                "the ports of a Service that has several are told apart by their names",
                "give each a name, such as http",
            ));
        }
        if type_of(spec) == LOAD_BALANCER && service_port.port == KUBELET {
            problems.push(Problem::error(
                format!("{field}.port"),
                format!("{field}.port is {KUBELET}"),
                "that is the kubelet's port, which a load balancer must not lay open",
                "write another; until then it is served",
            ));
        }
    }
    repetitions(ports, problems);
    node_ports(spec, ports, problems);
}

fn one_port(problems: &mut Vec<Problem>, field: &str, service_port: &ServicePort) {
    port_name(problems, &format!("{field}.name"), service_port.name.as_deref());
    port(problems, &format!("{field}.port"), service_port.port);
    protocol(problems, &format!("{field}.protocol"), service_port.protocol.as_deref());
    app_protocol(problems, &format!("{field}.appProtocol"), service_port.app_protocol.as_deref());
    match &service_port.target_port {
        // Both mean the same as leaving it out: the Service's own port.
        None | Some(IntOrString::Int(0)) => {}
        Some(IntOrString::String(name)) if name.is_empty() => {}
        Some(target) => port_reference(problems, &format!("{field}.targetPort"), target),
    }
}

fn repetitions(ports: &[ServicePort], problems: &mut Vec<Problem>) {
    let fields = |leaf: &str| -> Vec<_> {
        (0..ports.len()).map(|index| format!("spec.ports[{index}].{leaf}")).collect()
    };
    let named = fields("name").into_iter().zip(ports.iter().map(name)).filter(|(_, name)| !name.is_empty());
    let names: Vec<_> = named.map(|(field, name)| (field, format!("{name:?}"))).collect();
    unique(problems, &names, "the ports of a Service have different names", "give it another name");
    let numbers = ports.iter().map(|port| format!("{}/{}", port.port, transport(port)));
    let numbers: Vec<_> = fields("port").into_iter().zip(numbers).collect();
    let mend = "write another number, or delete one of the two";
    unique(problems, &numbers, "a port of a Service is one number and protocol", mend);
}

fn node_ports(spec: &ServiceSpec, ports: &[ServicePort], problems: &mut Vec<Problem>) {
    let mut node_ports = Vec::new();
    for (index, service_port) in ports.iter().enumerate() {
        let Some(node_port) = service_port.node_port.filter(|number| *number != 0) else { continue };
        let field = format!("spec.ports[{index}].nodePort");
        if type_of(spec) == CLUSTER_IP {
            problems.push(Problem::refusal(
                &field,
                format!("{field} is {node_port}"),
                "a Service of type ClusterIP has no node ports",
                "write type: NodePort, or leave it out",
            ));
        }
        port(problems, &field, node_port);
        node_ports.push((field, format!("{node_port}/{}", transport(service_port))));
    }
    if let Some(number) = spec.health_check_node_port.filter(|number| *number != 0)
        && needs_health_check(spec)
    {
        node_ports.push(("spec.healthCheckNodePort".to_owned(), format!("{number}/TCP")));
    }
    let mend = "write another number, or delete one of the two";
    unique(problems, &node_ports, "a node port belongs to one port of one Service", mend);
}

fn name(port: &ServicePort) -> &str {
    port.name.as_deref().unwrap_or_default()
}

fn transport(port: &ServicePort) -> &str {
    port.protocol.as_deref().filter(|name| !name.is_empty()).unwrap_or("TCP")
}
