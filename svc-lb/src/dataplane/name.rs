//! What a service id stands for, as kept in the map `SERVICE_NAMES`: the programs never read it, but
//! `get` and the next agent do.

use crate::compile::{Family, Protocol, ServicePort};
use bytemuck::{Pod, Zeroable};

/// The longest namespace, Service name or port name: a DNS label (RFC 1123).
const LABEL: usize = 63;

/// The value of `SERVICE_NAMES`; the key is the service id. Labels end with zero bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct ServiceName {
    namespace: [u8; LABEL + 1],
    name: [u8; LABEL + 1],
    port: [u8; LABEL + 1],
    protocol: u16,
    family: u16,
}

impl ServiceName {
    /// Whether every label of a Service port is short enough.
    pub fn fits(service: &ServicePort) -> bool {
        [&service.namespace, &service.name, &service.port].iter().all(|label| label.len() <= LABEL)
    }

    /// As the map holds it; a label that is too long is cut.
    pub fn new(service: &ServicePort) -> Self {
        Self {
            namespace: label(&service.namespace),
            name: label(&service.name),
            port: label(&service.port),
            protocol: service.protocol as u16,
            family: match service.family {
                Family::V4 => 4,
                Family::V6 => 6,
            },
        }
    }

    /// As the rest of the agent knows it; `None` if no agent can have written this.
    pub fn read(&self) -> Option<ServicePort> {
        Some(ServicePort {
            namespace: text(&self.namespace)?,
            name: text(&self.name)?,
            port: text(&self.port)?,
            protocol: Protocol::ALL.into_iter().find(|it| *it as u16 == self.protocol)?,
            family: match self.family {
                4 => Family::V4,
                6 => Family::V6,
                _ => return None,
            },
        })
    }
}

fn label(text: &str) -> [u8; LABEL + 1] {
    let mut label = [0; LABEL + 1];
    let length = text.len().min(LABEL);
    label[..length].copy_from_slice(&text.as_bytes()[..length]);
    label
}

fn text(label: &[u8]) -> Option<String> {
    let length = label.iter().position(|byte| *byte == 0)?;
    String::from_utf8(label[..length].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: String, protocol: Protocol) -> ServicePort {
        ServicePort {
            namespace: "default".to_owned(),
            name,
            port: String::new(),
            protocol,
            family: Family::V6,
        }
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for (name, protocol) in
            ["web".to_owned(), "n".repeat(LABEL), "a".to_owned()].into_iter().zip(Protocol::ALL)
        {
            let service = service(name, protocol);
            assert!(ServiceName::fits(&service));
            assert_eq!(ServiceName::new(&service).read(), Some(service));
        }
    }

    #[test]
    fn what_no_agent_wrote_is_not_read() {
        assert!(ServiceName::zeroed().read().is_none());
        let mut name = ServiceName::new(&service("web".to_owned(), Protocol::Udp));
        name.name = [0xff; LABEL + 1];
        assert!(name.read().is_none());
        assert!(!ServiceName::fits(&service("n".repeat(LABEL + 1), Protocol::Udp)));
    }
}
