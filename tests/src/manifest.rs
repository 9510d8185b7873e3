//! What the agent is told: Services and their EndpointSlices, Nodes.

use crate::{
    host::Host,
    plan::{Addresses, FAMILIES, KINDS, NODES},
};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write, net::SocketAddr};
use svc_lb::compile::{Family, Protocol};

/// The port of every ClusterIP.
pub const PORT: u16 = 80;

/// The port that backends serve.
pub const TARGET_PORT: u16 = 8080;

/// A dual-stack Service of type NodePort, for TCP and UDP, and its endpoints.
#[derive(Clone, Debug)]
pub struct Service {
    number: u8,
    backends: Vec<Backend>,
    sctp: bool,
    annotations: Vec<String>,
    spec: Vec<String>,
    load_balancer: Option<Addresses>,
    external: Option<Addresses>,
    weight: u8,
    hinted: bool,
}

/// An endpoint of a [`Service`].
#[derive(Clone, Debug)]
struct Backend {
    name: String,
    node: String,
    addresses: Addresses,
    port: u16,
    terminating: bool,
}

impl Backend {
    fn new(host: &Host, port: u16) -> Self {
        let (name, addresses) = (host.name().to_owned(), host.addresses());
        let node = addresses.node_of_pod().unwrap_or(&name).to_owned();
        Self { name, node, addresses, port, terminating: false }
    }
}

impl Service {
    /// A Service without endpoints. Its number gives its ClusterIPs and its nodePort.
    pub fn number(number: u8) -> Self {
        Self {
            number,
            backends: Vec::new(),
            sctp: false,
            annotations: Vec::new(),
            spec: Vec::new(),
            load_balancer: None,
            external: None,
            weight: 1,
            hinted: false,
        }
    }

    /// The same Service with these endpoints instead, each at [`TARGET_PORT`].
    pub fn behind<'a>(&self, hosts: impl IntoIterator<Item = &'a Host>) -> Self {
        let backends = hosts.into_iter().map(|host| Backend::new(host, TARGET_PORT));
        Self { backends: backends.collect(), ..self.clone() }
    }

    /// The same Service with one more line in its `spec`.
    pub fn with(mut self, line: &str) -> Self {
        self.spec.push(line.to_owned());
        self
    }

    /// The same Service with an annotation.
    pub fn annotated(mut self, name: &str, value: &str) -> Self {
        self.annotations.push(format!("{name}: \"{value}\""));
        self
    }

    /// The same Service of type LoadBalancer, with addresses of its load balancer.
    pub fn balanced_at(mut self, addresses: Addresses) -> Self {
        self.load_balancer = Some(addresses);
        self
    }

    /// The same Service with external IPs.
    pub fn externally_at(mut self, addresses: Addresses) -> Self {
        self.external = Some(addresses);
        self
    }

    /// The same Service for SCTP too, at the same ports.
    pub fn with_sctp(mut self) -> Self {
        self.sctp = true;
        self
    }

    /// The same Service whose endpoints at [`TARGET_PORT`] have a weight.
    pub fn weighing(mut self, weight: u8) -> Self {
        self.weight = weight;
        self
    }

    /// The same Service whose endpoints are each for the node that it is on, as their slices hint.
    pub fn hinting(mut self) -> Self {
        self.hinted = true;
        self
    }

    /// The same Service with one endpoint more, at another port.
    pub fn and(mut self, host: &Host, port: u16) -> Self {
        self.backends.push(Backend::new(host, port));
        self
    }

    /// The same Service with one endpoint more, which still serves and is about to go. It must have been there
    /// before: else it never has anything to keep, and the agent does not know it.
    pub fn and_terminating(mut self, host: &Host) -> Self {
        self.backends.push(Backend { terminating: true, ..Backend::new(host, TARGET_PORT) });
        self
    }

    /// `metadata.name`.
    pub fn name(&self) -> String {
        format!("service-{}", self.number)
    }

    /// Its ClusterIP of a family, and the port.
    pub fn cluster_ip(&self, family: Family) -> SocketAddr {
        SocketAddr::new(Addresses::service(self.number).of(family), PORT)
    }

    /// Its nodePort.
    pub fn node_port(&self) -> u16 {
        30000 + u16::from(self.number)
    }

    /// What an agent serves that knows this Service and has NodePorts at these addresses.
    pub fn served_at(&self, nodes: &[Addresses]) -> Vec<Served> {
        let near: Vec<&Backend> = self.backends.iter().filter(|backend| backend.node == NODES[0]).collect();
        let backends = if self.hinted && !near.is_empty() { near } else { self.backends.iter().collect() };
        let port = |(family, protocol)| {
            let node_ports = nodes.iter().map(|node| (node.of(family), self.node_port()).into());
            let others = [self.load_balancer, self.external].into_iter().flatten();
            let others = others.map(|addresses| SocketAddr::new(addresses.of(family), PORT));
            Served {
                name: self.name(),
                protocol,
                family,
                frontends: node_ports.chain([self.cluster_ip(family)]).chain(others).collect(),
                backends: backends.iter().map(|its| (its.addresses.of(family), its.port).into()).collect(),
            }
        };
        let sctp = FAMILIES.map(|family| (family, Protocol::Sctp)).into_iter().filter(|_| self.sctp);
        KINDS.into_iter().chain(sctp).map(port).collect()
    }

    /// The Service and its EndpointSlices, one a family.
    pub fn manifest(&self) -> String {
        let (name, node_port) = (self.name(), self.node_port());
        let [v4, v6] = FAMILIES.map(|family| Addresses::service(self.number).of(family));
        let annotations = self.annotations.join(", ");
        let kind = if self.load_balancer.is_some() { "LoadBalancer" } else { "NodePort" };
        let mut text = format!(
            "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default, annotations: {{{annotations}}}}}
spec:
  type: {kind}
  clusterIP: {v4}
  clusterIPs: [{v4}, \"{v6}\"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports:
  - {{name: tcp, protocol: TCP, port: {PORT}, targetPort: {TARGET_PORT}, nodePort: {node_port}}}
  - {{name: udp, protocol: UDP, port: {PORT}, targetPort: {TARGET_PORT}, nodePort: {node_port}}}
"
        );
        if self.sctp {
            let _ = writeln!(
                text,
                "  - {{name: sctp, protocol: SCTP, port: {PORT}, targetPort: {TARGET_PORT}, nodePort: {node_port}}}"
            );
        }
        for line in &self.spec {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(Addresses { v4, v6 }) = self.external {
            let _ = writeln!(text, "  externalIPs: [{v4}, \"{v6}\"]");
        }
        if let Some(Addresses { v4, v6 }) = self.load_balancer {
            let _ = writeln!(
                text,
                "status: {{loadBalancer: {{ingress: [{{ip: {v4}, ipMode: VIP}}, {{ip: \"{v6}\"}}]}}}}"
            );
        }
        for family in FAMILIES {
            self.write_slices(&mut text, family);
        }
        text
    }

    /// The slices of a family: endpoints of one port share one.
    fn write_slices(&self, text: &mut String, family: Family) {
        let mut ports: Vec<u16> = self.backends.iter().map(|backend| backend.port).collect();
        ports.sort_unstable();
        ports.dedup();
        for port in ports {
            let name = format!("{}-{}-{port}", self.name(), family.to_string().to_lowercase());
            let weight = if port == TARGET_PORT { self.weight } else { 1 };
            let sctp = if self.sctp {
                format!(", {{name: sctp, protocol: SCTP, port: {port}}}")
            } else {
                String::new()
            };
            let _ = write!(
                text,
                "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}
  namespace: default
  labels: {{kubernetes.io/service-name: {}}}
  annotations: {{svc-lb.io/weight: '{weight}'}}
addressType: {family}
ports: [{{name: tcp, protocol: TCP, port: {port}}}, {{name: udp, protocol: UDP, port: {port}}}{sctp}]
endpoints:
",
                self.name()
            );
            for backend in self.backends.iter().filter(|backend| backend.port == port) {
                let Backend { name: host, node, .. } = backend;
                let hints = if self.hinted {
                    format!("hints: {{forNodes: [{{name: {node}}}]}}, ")
                } else {
                    String::new()
                };
                let address = backend.addresses.of(family);
                let conditions = if backend.terminating {
                    "ready: false, serving: true, terminating: true"
                } else {
                    "ready: true"
                };
                let _ = writeln!(
                    text,
                    "- {{addresses: [\"{address}\"], hostname: {host}, nodeName: {node}, {hints}conditions: {{{conditions}}}}}"
                );
            }
        }
    }
}

/// A Service port in one family, with what leads to it and where it leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// `metadata.name` of the Service.
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Family.
    pub family: Family,
    /// Its addresses.
    pub frontends: BTreeSet<SocketAddr>,
    /// Its endpoints, those that terminate too.
    pub backends: BTreeSet<SocketAddr>,
}

impl Served {
    /// An element of what `svc-lb get services -o json` prints; `None` if it is not of that form.
    pub fn read(element: &Value) -> Option<Self> {
        let (protocol, family) = (element["protocol"].as_str()?, element["family"].as_str()?);
        Some(Self {
            name: element["name"].as_str()?.to_owned(),
            protocol: Protocol::ALL.into_iter().find(|known| known.to_string() == protocol)?,
            family: FAMILIES.into_iter().find(|known| known.to_string() == family)?,
            frontends: addresses(&element["frontends"])?,
            backends: addresses(&element["backends"])?,
        })
    }
}

fn addresses(list: &Value) -> Option<BTreeSet<SocketAddr>> {
    let address = |element: &Value| {
        let port = element["port"].as_u64()?.try_into().ok()?;
        Some(SocketAddr::new(element["address"].as_str()?.parse().ok()?, port))
    };
    list.as_array()?.iter().map(address).collect()
}

/// A Node with both its addresses.
pub fn node(name: &str, addresses: Addresses, pods: [&str; 2]) -> String {
    let Addresses { v4, v6 } = addresses;
    let [pods_v4, pods_v6] = pods;
    format!(
        "---
apiVersion: v1
kind: Node
metadata: {{name: {name}}}
spec: {{podCIDR: {pods_v4}, podCIDRs: [{pods_v4}, \"{pods_v6}\"]}}
status: {{addresses: [{{type: InternalIP, address: {v4}}}, {{type: InternalIP, address: \"{v6}\"}}]}}
"
    )
}
