//! The other Services of the cluster, to which nobody talks: each has a ClusterIP and an endpoint of each family.

use crate::kube_proxy::ServicePort;
use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use svc_lb::compile::Family;
use svc_lb_tests::plan::FAMILIES;

/// The port of every ClusterIP, and of every endpoint.
const PORT: u16 = 80;

/// The ports of so many in a family.
pub fn ports(others: u16, family: Family) -> impl Iterator<Item = ServicePort> {
    (0..others).map(move |number| ServicePort {
        name: format!("default/{}/http", name(number)),
        cluster_ip: SocketAddr::new(cluster_ip(number, family), PORT),
        node_port: None,
        endpoints: vec![SocketAddr::new(endpoint(number, family), PORT)],
    })
}

/// The manifests of so many.
pub fn manifests(others: u16) -> String {
    let mut text = String::new();
    for number in 0..others {
        let name = name(number);
        let [v4, v6] = FAMILIES.map(|family| cluster_ip(number, family));
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  clusterIP: {v4}
  clusterIPs: [{v4}, \"{v6}\"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports: [{{name: http, protocol: TCP, port: {PORT}}}]
"
        );
        for family in FAMILIES {
            let slice = format!("{name}-{}", family.to_string().to_lowercase());
            let endpoint = endpoint(number, family);
            let _ = write!(
                text,
                "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {slice}, namespace: default, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: {family}
ports: [{{name: http, protocol: TCP, port: {PORT}}}]
endpoints: [{{addresses: [\"{endpoint}\"], nodeName: elsewhere, conditions: {{ready: true}}}}]
"
            );
        }
    }
    text
}

/// `metadata.name`.
fn name(number: u16) -> String {
    format!("other-{number}")
}

fn cluster_ip(number: u16, family: Family) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(10, 100, high, low).into(),
        // Below are those of the Services that are measured.
        Family::V6 => Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0x1000 + number).into(),
    }
}

fn endpoint(number: u16, family: Family) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(10, 244, 100 + high, low).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x244, 0, 100, 0, 0, 0, number).into(),
    }
}
