//! Small manifests in, tables out.

mod affinity;
mod conflicts;
mod endpoints;
mod frontends;
mod health_checks;
mod node_addresses;
mod order;
mod policies;
mod source_ranges;

use super::{Compiled, Frontend, Options, Target, compile};
use crate::{
    cluster::{Allocations, Joined, Ranges, join},
    node::{Facts, Interface, Role},
    source::read_text,
};

/// A node with two uplinks, a pod interface and loopback.
fn facts() -> Facts {
    let uplink = || Role::Uplink(String::new());
    Facts {
        interfaces: vec![
            interface(1, "lo", Role::None(String::new()), &["127.0.0.1/8", "::1/128", "10.255.255.1/32"]),
            interface(2, "veth1", Role::Pod(String::new()), &["10.244.0.1/32"]),
            interface(3, "eth0", uplink(), &["169.254.7.7/16", "fe80::1/64", "192.0.2.1/24", "192.0.2.2/24"]),
            interface(4, "eth1", uplink(), &["198.51.100.1/24", "2001:db8::1/64"]),
        ],
    }
}

fn interface(index: u32, name: &str, role: Role, addresses: &[&str]) -> Interface {
    let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    Interface { index, name: name.to_owned(), addresses, role, ..Interface::default() }
}

fn joined(yaml: &str) -> Joined {
    let ranges = ["10.96.0.0/12", "fd00::/112"].map(|range| range.parse().expect("a range"));
    let ranges = Ranges { cluster_ips: ranges.to_vec(), ..Ranges::default() };
    join(&read_text("x", yaml).objects, &ranges, &Allocations::default())
}

/// What the node named `node-1` makes of manifests.
fn compiled(yaml: &str) -> Compiled {
    compiled_with(yaml, "primary")
}

fn compiled_with(yaml: &str, nodeport_addresses: &str) -> Compiled {
    compile(&joined(yaml).cluster, &facts(), &options(nodeport_addresses))
}

fn options(nodeport_addresses: &str) -> Options {
    Options {
        node_name: "node-1".to_owned(),
        nodeport_addresses: nodeport_addresses.parse().expect("addresses"),
        cluster_cidrs: Vec::new(),
    }
}

/// Each frontend with its kind and the Service port that it leads to, in a line.
fn frontends(compiled: &Compiled) -> Vec<String> {
    let line =
        |(frontend, target): (&Frontend, &Target)| format!("{:?} {frontend} {}", target.kind, target.service);
    compiled.tables.frontends.iter().map(line).collect()
}

/// The same, with the backends of the policy `Cluster`.
fn lines(compiled: &Compiled) -> Vec<String> {
    let backends = |target: &Target| {
        let list = &compiled.tables.services[&target.service].lists.cluster;
        list.iter().map(|it| it.endpoint.to_string()).collect::<Vec<_>>().join(" ")
    };
    let targets = compiled.tables.frontends.values();
    frontends(compiled)
        .into_iter()
        .zip(targets)
        .map(|(line, it)| format!("{line} → {}", backends(it)))
        .collect()
}

/// The one Service port of the tables.
#[track_caller]
fn only_service(compiled: &Compiled) -> &super::Service {
    assert_eq!(compiled.tables.services.len(), 1, "{:?}", compiled.tables.services);
    compiled.tables.services.values().next().expect("a service")
}

fn findings(compiled: &Compiled) -> Vec<String> {
    compiled.findings().iter().map(ToString::to_string).collect()
}

/// A Service with these lines of its spec, indented by two.
fn service(name: &str, spec: &str) -> String {
    dated_service(name, "null", spec)
}

/// The same, created then.
fn dated_service(name: &str, created: &str, spec: &str) -> String {
    format!(
        "---\nkind: Service\napiVersion: v1\nmetadata: {{name: {name}, creationTimestamp: {created}}}\n\
         spec:\n{spec}"
    )
}

/// The status of a Service whose load balancer has these addresses.
fn ingress(ingress: &str) -> String {
    format!("status: {{loadBalancer: {{ingress: [{ingress}]}}}}\n")
}

/// An EndpointSlice of the Service `web` with a port 80 and these endpoints.
fn slice(name: &str, address_type: &str, endpoints: &[String]) -> String {
    format!(
        "---\nkind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n\
         metadata: {{name: {name}, labels: {{kubernetes.io/service-name: web}}}}\n\
         addressType: {address_type}\nports: [{{port: 80}}]\nendpoints: [{}]\n",
        endpoints.join(", ")
    )
}

/// Endpoints 10.0.0.1 and so on, each with these further fields.
fn numbered(fields: &[&str]) -> Vec<String> {
    (1..).zip(fields).map(|(last, fields)| format!("{{addresses: [10.0.0.{last}], {fields}}}")).collect()
}

/// A dual-stack NodePort Service with two ports, and its Pods.
const WEB: &str = "
kind: Service
apiVersion: v1
metadata: {name: web}
spec:
  type: NodePort
  clusterIPs: [10.96.0.10, 'fd00::10']
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080, nodePort: 30080}
  - {name: dns, port: 53, protocol: UDP, nodePort: 30053}
---
kind: Pod
apiVersion: v1
metadata: {name: web-2, labels: {app: web}}
status: {podIPs: [{ip: 10.244.0.12}, {ip: 'fd01::12'}]}
---
kind: Pod
apiVersion: v1
metadata: {name: web-1, labels: {app: web}}
status: {podIPs: [{ip: 10.244.0.11}]}
---
kind: Pod
apiVersion: v1
metadata: {name: web-3, labels: {app: web}}
status: {podIPs: [{ip: 10.244.0.13}], conditions: [{type: Ready, status: 'False'}]}
";

/// This node, and another.
const NODES: &str = "---
kind: Node
apiVersion: v1
metadata: {name: node-1, labels: {topology.kubernetes.io/zone: zone-a}}
status:
  addresses:
  - {type: ExternalIP, address: 203.0.113.1}
  - {type: InternalIP, address: 198.51.100.1}
---
kind: Node
apiVersion: v1
metadata: {name: node-2, labels: {topology.kubernetes.io/zone: zone-b}}
status: {addresses: [{type: InternalIP, address: 198.51.100.2}]}
";
