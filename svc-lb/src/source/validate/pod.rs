//! Pod v1.

use super::{Validate, address, is_port_name, port, protocol};
use crate::source::finding::Problem;
use k8s_openapi::api::core::v1::Pod;

impl Validate for Pod {
    fn validate(&self, problems: &mut Vec<Problem>) {
        if let Some(status) = &self.status {
            if let Some(pod_ip) = status.pod_ip.as_deref().filter(|address| !address.is_empty()) {
                address(problems, "status.podIP", pod_ip, None);
            }
            for (index, pod_ip) in status.pod_ips.iter().flatten().enumerate() {
                address(problems, &format!("status.podIPs[{index}].ip"), &pod_ip.ip, None);
            }
        }
        let containers = self.spec.iter().flat_map(|spec| &spec.containers).enumerate();
        for (container_index, container) in containers {
            for (index, container_port) in container.ports.iter().flatten().enumerate() {
                let field = format!("spec.containers[{container_index}].ports[{index}]");
                port(problems, &format!("{field}.containerPort"), container_port.container_port);
                protocol(problems, &format!("{field}.protocol"), container_port.protocol.as_deref());
                if let Some(name) = container_port.name.as_deref().filter(|name| !is_port_name(name)) {
                    problems.push(Problem::error(
                        format!("{field}.name"),
                        format!("{field}.name is {name:?}"),
                        "a name has lower-case letters, digits and '-', at most 15 of them, at least one a letter",
                        "give it another name",
                    ));
                }
            }
        }
    }
}
