//! The Services of a large cluster, as files of manifests.
//!
//! Each Service and each EndpointSlice stands in a document of its own with everything that `kubectl get -o yaml`
//! shows of one that Helm and the EndpointSlice controller made. As in most clusters it has one port and
//! is of IPv4 alone; one in twenty has a nodePort. No endpoint is on the node that the agent of a
//! [`Rig`](crate::Rig) runs on, and no two Services share one.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

/// Where its pods are, for `--cluster-cidr`.
pub const CLUSTER_CIDR: &str = "10.128.0.0/10";

/// How many Services are in a file.
pub const SERVICES_A_FILE: u32 = 1000;

/// One in so many Services is of type NodePort: the default range has room for 2,768.
const SERVICES_A_NODE_PORT: u32 = 20;
/// How many Services are in a namespace.
const SERVICES_A_NAMESPACE: u32 = 100;
/// How many pods are on a node.
const PODS_A_NODE: u32 = 100;

const FIRST_CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const FIRST_POD: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 1);
const FIRST_NODE_PORT: u16 = 30000;
const PORT: u16 = 80;
/// What its pods serve.
pub const TARGET_PORT: u16 = 9000;

/// So many Services, each with so many endpoints, at least one.
#[derive(Clone, Debug)]
pub struct LargeCluster {
    services: u32,
    endpoints: u32,
    /// The Services that have another pod in the place of their last one, and its number.
    replaced: BTreeMap<u32, u32>,
    /// How many pods there ever were.
    all_pods: u32,
}

impl LargeCluster {
    /// So many Services, each with so many endpoints.
    pub const fn new(services: u32, endpoints: u32) -> Self {
        Self { services, endpoints, replaced: BTreeMap::new(), all_pods: services * endpoints }
    }

    /// Replaces the last endpoint of a Service by one that the cluster never had. Returns that.
    pub fn replace_endpoint(&mut self, service: u32) -> SocketAddr {
        let pod = self.all_pods;
        self.replaced.insert(service, pod);
        self.all_pods += 1;
        address(pod)
    }

    /// How many Services there are. They are numbered from 0.
    pub const fn services(&self) -> u32 {
        self.services
    }

    /// `metadata.namespace` and `metadata.name` of a Service.
    pub fn name(&self, service: u32) -> (String, String) {
        (format!("team-{}", service / SERVICES_A_NAMESPACE), format!("service-{service}"))
    }

    /// The ClusterIP of a Service, and its port.
    pub fn cluster_ip(&self, service: u32) -> SocketAddr {
        SocketAddr::new(beyond(FIRST_CLUSTER_IP, service).into(), PORT)
    }

    /// The nodePort of a Service, if it has one.
    pub fn node_port(&self, service: u32) -> Option<u16> {
        service
            .is_multiple_of(SERVICES_A_NODE_PORT)
            .then_some(FIRST_NODE_PORT + (service / SERVICES_A_NODE_PORT) as u16)
    }

    /// The endpoints of a Service.
    pub fn endpoints(&self, service: u32) -> Vec<SocketAddr> {
        self.pods(service).map(address).collect()
    }

    /// The files, by name.
    pub fn files(&self) -> impl Iterator<Item = (String, String)> {
        (0..self.services).step_by(SERVICES_A_FILE as usize).map(|service| self.file_of(service))
    }

    /// The file that a Service is in: its name, and what it holds.
    pub fn file_of(&self, service: u32) -> (String, String) {
        let number = service / SERVICES_A_FILE;
        let first = number * SERVICES_A_FILE;
        let mut text = String::new();
        for service in first..(first + SERVICES_A_FILE).min(self.services) {
            self.write_service(&mut text, service);
            self.write_slice(&mut text, service);
        }
        (format!("services-{number:02}.yaml"), text)
    }

    /// Writes all files into a directory. Returns how many bytes they have.
    pub fn write(&self, directory: &Path) -> io::Result<usize> {
        self.files().try_fold(0, |bytes, (name, text)| {
            fs::write(directory.join(name), &text)?;
            Ok(bytes + text.len())
        })
    }

    /// The numbers of the pods behind a Service.
    fn pods(&self, service: u32) -> impl Iterator<Item = u32> {
        let end = (service + 1) * self.endpoints;
        let last = self.replaced.get(&service).copied().unwrap_or(end - 1);
        (end - self.endpoints..end - 1).chain([last])
    }

    fn write_service(&self, text: &mut String, service: u32) {
        let (namespace, name) = self.name(service);
        let (cluster_ip, uid) = (self.cluster_ip(service).ip(), uid('5', service));
        let (kind, node_port, policy) = match self.node_port(service) {
            Some(port) => {
                ("NodePort", format!("    nodePort: {port}\n"), "  externalTrafficPolicy: Cluster\n")
            }
            None => ("ClusterIP", String::new(), ""),
        };
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "---
apiVersion: v1
kind: Service
metadata:
  annotations:
    meta.helm.sh/release-name: {name}
    meta.helm.sh/release-namespace: {namespace}
  creationTimestamp: \"2026-03-02T08:15:{seconds:02}Z\"
  labels:
    app.kubernetes.io/instance: {name}
    app.kubernetes.io/managed-by: Helm
    app.kubernetes.io/name: {name}
  name: {name}
  namespace: {namespace}
  resourceVersion: \"{version}\"
  uid: {uid}
spec:
  clusterIP: {cluster_ip}
  clusterIPs:
  - {cluster_ip}
{policy}  internalTrafficPolicy: Cluster
  ipFamilies:
  - IPv4
  ipFamilyPolicy: SingleStack
  ports:
  - name: http
{node_port}    port: {PORT}
    protocol: TCP
    targetPort: http
  selector:
    app.kubernetes.io/instance: {name}
    app.kubernetes.io/name: {name}
  sessionAffinity: None
  type: {kind}
status:
  loadBalancer: {{}}
",
            seconds = service % 60,
            version = 4_000_000 + service,
        );
    }

    fn write_slice(&self, text: &mut String, service: u32) {
        let (namespace, name) = self.name(service);
        let _ = write!(
            text,
            "---
addressType: IPv4
apiVersion: discovery.k8s.io/v1
endpoints:
"
        );
        for pod in self.pods(service) {
            let _ = write!(
                text,
                "- addresses:
  - {address}
  conditions:
    ready: true
    serving: true
    terminating: false
  nodeName: worker-{node}
  targetRef:
    kind: Pod
    name: {name}-6d4cf56db6-{pod:05x}
    namespace: {namespace}
    uid: {uid}
  zone: zone-{zone}
",
                address = beyond(FIRST_POD, pod),
                node = pod / PODS_A_NODE,
                uid = uid('9', pod),
                zone = pod / PODS_A_NODE % 3,
            );
        }
        let _ = write!(
            text,
            "kind: EndpointSlice
metadata:
  annotations:
    endpoints.kubernetes.io/last-change-trigger-time: \"2026-03-02T09:40:{seconds:02}Z\"
  creationTimestamp: \"2026-03-02T08:15:{seconds:02}Z\"
  generateName: {name}-
  generation: 12
  labels:
    app.kubernetes.io/instance: {name}
    app.kubernetes.io/managed-by: Helm
    app.kubernetes.io/name: {name}
    endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io
    kubernetes.io/service-name: {name}
  name: {name}-{suffix:05x}
  namespace: {namespace}
  ownerReferences:
  - apiVersion: v1
    blockOwnerDeletion: true
    controller: true
    kind: Service
    name: {name}
    uid: {owner}
  resourceVersion: \"{version}\"
  uid: {uid}
ports:
- name: http
  port: {TARGET_PORT}
  protocol: TCP
",
            seconds = service % 60,
            suffix = service,
            owner = uid('5', service),
            version = 4_500_000 + service,
            uid = uid('7', service),
        );
    }
}

/// The address so many behind another.
fn beyond(first: Ipv4Addr, distance: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits() + distance)
}

/// What a pod serves.
fn address(pod: u32) -> SocketAddr {
    SocketAddr::new(beyond(FIRST_POD, pod).into(), TARGET_PORT)
}

/// The uid of an object, by the kind of object and its number.
fn uid(kind: char, number: u32) -> String {
    // Multiplied by an odd number, no two become the same (Knuth, multiplicative hashing).
    let mixed = number.wrapping_mul(2_654_435_761);
    format!("{mixed:08x}-{kind}c1e-4f3a-8b2d-{number:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use svc_lb::source::{Reading, read_text};

    fn reading(cluster: &LargeCluster) -> Reading {
        let reading = read_text("services.yaml", &cluster.file_of(0).1);
        assert_eq!(reading.findings, []);
        reading
    }

    #[test]
    fn the_manifests_hold_the_services_and_their_endpoints() {
        let cluster = LargeCluster::new(SERVICES_A_FILE + 1, 3);
        let objects = reading(&cluster).objects;
        assert_eq!(objects.services.len(), SERVICES_A_FILE as usize);
        assert_eq!(objects.endpoint_slices.len(), SERVICES_A_FILE as usize);
        assert_eq!(cluster.files().count(), 2);
    }

    #[test]
    fn a_replaced_endpoint_is_new_each_time_and_the_only_change() {
        let mut cluster = LargeCluster::new(30, 10);
        let endpoints =
            |cluster: &LargeCluster| (0..30).flat_map(|it| cluster.endpoints(it)).collect::<Vec<_>>();
        let mut before = endpoints(&cluster);
        for _ in 0..2 {
            let new = cluster.replace_endpoint(20);
            let after = endpoints(&cluster);
            assert!(!before.contains(&new));
            before[209] = new;
            assert_eq!(after, before);
        }
        reading(&cluster);
    }
}
