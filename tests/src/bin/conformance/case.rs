//! A file of packets: a node, the objects that it knows, and what kube-proxy does with each packet.

use crate::outcome::{Outcome, Sight};
use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};
use svc_lb::{compile::Protocol, options::NodePortAddresses, source::labels};

/// What a file holds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// What the node is told by flags, and by its Node.
    pub node: Node,
    /// Services (core/v1), as a client would write them: without the defaults of the API.
    #[serde(deserialize_with = "null_as_empty")]
    services: Vec<Value>,
    /// EndpointSlices (discovery.k8s.io/v1).
    #[serde(deserialize_with = "null_as_empty")]
    endpoint_slices: Vec<Value>,
    /// The packets.
    pub packets: Vec<Packet>,
    /// The test in which kube-proxy does so.
    #[serde(rename = "test")]
    _test: String,
    /// Where that test is.
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "line")]
    _line: String,
}

/// A node, by kube-proxy's flags and what it finds on the machine.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// The family that this kube-proxy serves.
    #[serde(rename = "ipFamily")]
    _ip_family: String,
    /// The addresses of its interfaces.
    pub local_addresses: Vec<IpAddr>,
    /// `--cluster-cidr`, by which kube-proxy tells pods from others; `None`: it cannot tell.
    #[serde(rename = "localPodCIDR", deserialize_with = "empty_as_none")]
    pub pod_cidr: Option<IpNet>,
    /// `--masquerade-all`.
    pub masquerade_all: bool,
    /// The InternalIP of its Node.
    #[serde(rename = "nodeIP")]
    pub ip: IpAddr,
    /// The name of its Node.
    #[serde(rename = "nodeName")]
    pub name: String,
    /// `--nodeport-addresses`, as Go prints a list.
    #[serde(rename = "nodePortAddresses", deserialize_with = "go_list")]
    pub nodeport_addresses: NodePortAddresses,
    /// The service ranges of the cluster.
    #[serde(rename = "serviceCIDRs", deserialize_with = "comma_list")]
    pub service_cidrs: Vec<IpNet>,
    /// The topology labels of its Node.
    topology_labels: Option<BTreeMap<String, String>>,
}

/// A first packet, and what kube-proxy does with it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Packet {
    /// What it shows, in words.
    pub name: String,
    protocol: String,
    /// Who sends it.
    #[serde(rename = "sourceIP")]
    pub source: IpAddr,
    /// To whom.
    #[serde(rename = "destIP")]
    pub destination: IpAddr,
    /// To which port.
    #[serde(rename = "destPort")]
    pub port: u16,
    verdict: String,
    #[serde(deserialize_with = "null_as_empty")]
    backends: Vec<SocketAddr>,
    masquerade: bool,
}

impl Case {
    /// Reads a file's text.
    pub fn read(text: &str) -> Result<Self> {
        let case: Self = serde_json::from_str(text)?;
        for packet in &case.packets {
            packet.protocol()?;
            packet.expected(&case.node).with_context(|| packet.name.clone())?;
        }
        Ok(case)
    }

    /// All objects, with the Node of the node, as one manifest.
    pub fn manifest(&self) -> String {
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": self.node.name, "labels": self.node.topology_labels },
            "status": { "addresses": [{ "type": "InternalIP", "address": self.node.ip }] },
        });
        let items: Vec<&Value> = self.services.iter().chain(&self.endpoint_slices).chain([&node]).collect();
        json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
    }

    /// Every endpoint of every slice, whatever becomes of it.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + '_ {
        self.endpoint_slices.iter().flat_map(|slice| self.endpoints_in(slice))
    }

    /// The port of a Service that a packet is for.
    pub fn frontend(&self, packet: &Packet) -> Option<Frontend<'_>> {
        let ports = self.services.iter().flat_map(|service| {
            list(&service["spec"]["ports"]).map(move |port| Frontend { case: self, service, port })
        });
        ports.into_iter().find(|frontend| frontend.is_for(packet))
    }

    /// Whether an address is the ClusterIP of a Service.
    pub fn is_cluster_ip(&self, address: IpAddr) -> bool {
        self.services.iter().any(|service| is(&service["spec"]["clusterIP"], address))
    }

    /// Whether a backend is on the node.
    pub fn is_local(&self, backend: SocketAddr) -> bool {
        self.endpoints().any(|endpoint| endpoint.local && endpoint.address == backend.ip())
    }

    fn endpoints_in<'a>(&'a self, slice: &'a Value) -> impl Iterator<Item = Endpoint> + 'a {
        list(&slice["endpoints"]).filter_map(move |endpoint| {
            let conditions = &endpoint["conditions"];
            let is = |condition: &str| conditions[condition].as_bool();
            let ready = is("ready").unwrap_or(true);
            Some(Endpoint {
                address: endpoint["addresses"][0].as_str()?.parse().ok()?,
                local: endpoint["nodeName"] == self.node.name.as_str(),
                ready,
                draining: is("serving").unwrap_or(ready) && is("terminating").unwrap_or(false),
            })
        })
    }
}

/// An endpoint, as its slice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub address: IpAddr,
    /// Whether it is on the node.
    pub local: bool,
    /// Whether it is ready.
    ready: bool,
    /// Whether it serves while it terminates.
    draining: bool,
}

/// A port of a Service by which a packet comes.
#[derive(Clone, Copy, Debug)]
pub struct Frontend<'a> {
    case: &'a Case,
    service: &'a Value,
    port: &'a Value,
}

impl Frontend<'_> {
    /// Whether a packet is for it: by the ClusterIP, an address of the load balancer, an external IP or the
    /// node port.
    fn is_for(&self, packet: &Packet) -> bool {
        let (spec, status) = (&self.service["spec"], &self.service["status"]);
        let mut addresses = list(&status["loadBalancer"]["ingress"])
            .map(|ingress| &ingress["ip"])
            .chain(list(&spec["externalIPs"]))
            .chain([&spec["clusterIP"]]);
        let by_address = addresses.any(|address| is(address, packet.destination));
        let number = if by_address { "port" } else { "nodePort" };
        self.port[number] == packet.port && self.port["protocol"] == packet.protocol.to_uppercase()
    }

    /// Whether `spec.externalTrafficPolicy` is Local.
    pub fn external_policy_is_local(&self) -> bool {
        self.service["spec"]["externalTrafficPolicy"] == "Local"
    }

    /// All usable endpoints of the cluster, without regard to hints.
    pub fn usable(&self) -> Vec<SocketAddr> {
        let name = &self.service["metadata"]["name"];
        let slices = self.case.endpoint_slices.iter().filter(|slice| {
            slice["metadata"]["namespace"] == self.service["metadata"]["namespace"]
                && slice["metadata"]["labels"][labels::SERVICE_NAME] == *name
        });
        let endpoints: Vec<(Endpoint, SocketAddr)> = slices
            .filter_map(|slice| {
                let same = |port: &&Value| {
                    port["name"].as_str().unwrap_or_default()
                        == self.port["name"].as_str().unwrap_or_default()
                        && port["protocol"] == self.port["protocol"]
                };
                let port = list(&slice["ports"]).find(same)?["port"].as_u64()?;
                let port = u16::try_from(port).ok()?;
                let endpoints = self.case.endpoints_in(slice);
                Some(endpoints.map(move |endpoint| (endpoint, SocketAddr::new(endpoint.address, port))))
            })
            .flatten()
            .collect();
        let those = |usable: fn(&Endpoint) -> bool| {
            let usable = endpoints.iter().filter(|(endpoint, _)| usable(endpoint));
            usable.map(|(_, address)| *address).collect::<Vec<_>>()
        };
        let ready = those(|endpoint| endpoint.ready);
        if ready.is_empty() { those(|endpoint| endpoint.draining) } else { ready }
    }
}

impl Packet {
    /// The protocol.
    pub fn protocol(&self) -> Result<Protocol> {
        Ok(match self.protocol.as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            other => bail!("{}: the protocol is {other:?}", self.name),
        })
    }

    /// The backends that kube-proxy forwards it to.
    pub fn backends(&self) -> &[SocketAddr] {
        &self.backends
    }

    /// What kube-proxy does with it. A backend sees the node's address in place of the client's where
    /// kube-proxy masquerades.
    pub fn expected(&self, node: &Node) -> Result<Outcome> {
        Ok(match self.verdict.as_str() {
            "FORWARD" => {
                ensure!(!self.backends.is_empty(), "it is forwarded to nobody");
                let sees = if self.masquerade { node.ip } else { self.source };
                Outcome::Forward(self.backends.iter().map(|&backend| Sight { backend, sees }).collect())
            }
            "REJECT" => Outcome::Reject,
            "DROP" => Outcome::Drop,
            "NOT_HANDLED" => Outcome::NotHandled,
            other => bail!("the verdict is {other:?}"),
        })
    }
}

/// The items of a list, which need not be there.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether a value is this address.
fn is(value: &Value, address: IpAddr) -> bool {
    value.as_str().and_then(|text| text.parse().ok()) == Some(address)
}

/// A list that may be null, as Go writes an empty one.
fn null_as_empty<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A range; `""`: none.
fn empty_as_none<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<IpNet>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(serde::de::Error::custom) }
}

/// Ranges with commas between them.
fn comma_list<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let text = String::deserialize(from)?;
    text.split(',').map(|range| range.trim().parse().map_err(serde::de::Error::custom)).collect()
}

/// `[192.168.0.0/24 192.168.1.0/24]`.
fn go_list<'de, D: serde::Deserializer<'de>>(from: D) -> Result<NodePortAddresses, D::Error> {
    let text = String::deserialize(from)?;
    let ranges = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let ranges = ranges.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no list of Go's")))?;
    let ranges: Vec<_> = ranges.split_whitespace().collect();
    ranges.join(",").parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A node with two Services: `cluster` (10.0.0.1:80, node port 3001) and `local` (10.0.0.2:80, node port
    /// 3002, external policy Local), each with the endpoint N.1 here and N.2 elsewhere.
    pub fn example(change: impl FnOnce(&mut Value)) -> Case {
        let service = |number: u8, policy: &str| {
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": policy, "namespace": "ns" },
                "spec": {
                    "type": "NodePort", "clusterIP": format!("10.0.0.{number}"),
                    "externalTrafficPolicy": policy, "externalIPs": [format!("192.0.2.{number}")],
                    "ports": [{ "name": "p", "port": 80, "nodePort": 3000 + u16::from(number), "protocol": "TCP" }],
                },
            })
        };
        let slice = |number: u8, policy: &str| {
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {
                    "name": policy, "namespace": "ns", "labels": { "kubernetes.io/service-name": policy },
                },
                "ports": [{ "name": "p", "port": 8080, "protocol": "TCP" }],
                "endpoints": [
                    { "addresses": [format!("10.{number}.0.1")], "conditions": {}, "nodeName": "here" },
                    { "addresses": [format!("10.{number}.0.2")], "conditions": { "ready": true }, "nodeName": "there" },
                    { "addresses": [format!("10.{number}.0.3")], "conditions": { "ready": false }, "nodeName": "here" },
                ],
            })
        };
        let mut case = json!({
            "source": "", "line": "", "test": "",
            "node": {
                "ipFamily": "IPv4", "localAddresses": ["192.168.0.2"], "localPodCIDR": "10.0.0.0/8",
                "masqueradeAll": false, "nodeIP": "192.168.0.2", "nodeName": "here",
                "nodePortAddresses": "[192.168.0.0/24 192.168.1.2/32]", "serviceCIDRs": "10.0.0.0/24,fd00::/112",
                "topologyLabels": null,
            },
            "services": [service(1, "Cluster"), service(2, "Local")],
            "endpointSlices": [slice(1, "Cluster"), slice(2, "Local")],
            "packets": [],
        });
        change(&mut case);
        Case::read(&case.to_string()).expect("a case")
    }

    /// A packet that kube-proxy forwards to these backends.
    pub fn forwarded(source: &str, destination: &str, backends: &[&str], masquerade: bool) -> Packet {
        let (address, port) = destination.split_once(':').expect("address:port");
        Packet {
            name: String::new(),
            protocol: "tcp".to_owned(),
            source: source.parse().expect("an address"),
            destination: address.parse().expect("an address"),
            port: port.parse().expect("a port"),
            verdict: "FORWARD".to_owned(),
            backends: backends.iter().map(|backend| backend.parse().expect("a backend")).collect(),
            masquerade,
        }
    }

    #[test]
    fn the_facts_of_a_node_are_read_as_go_writes_them() {
        let node = example(|_| {}).node;
        assert_eq!(node.nodeport_addresses.to_string(), "192.168.0.0/24,192.168.1.2/32");
        assert_eq!(node.service_cidrs.len(), 2);
        assert_eq!(node.pod_cidr, Some("10.0.0.0/8".parse().expect("a range")));
        assert_eq!(example(|case| case["node"]["localPodCIDR"] = json!("")).node.pod_cidr, None);
        assert!(example(|case| case["services"] = Value::Null).services.is_empty());
    }

    #[test]
    fn what_is_not_known_is_not_passed_over() {
        let case = |change: fn(&mut Value)| {
            let mut case = json!({
                "source": "", "line": "", "test": "", "services": null, "endpointSlices": null,
                "node": {
                    "ipFamily": "IPv4", "localAddresses": [], "localPodCIDR": "", "masqueradeAll": false,
                    "nodeIP": "192.168.0.2", "nodeName": "here", "nodePortAddresses": "[192.168.0.2/32]",
                    "serviceCIDRs": "10.0.0.0/24", "topologyLabels": null,
                },
                "packets": [{
                    "name": "a packet", "protocol": "tcp", "sourceIP": "10.0.0.9", "destIP": "10.0.0.1",
                    "destPort": 80, "verdict": "DROP", "backends": null, "masquerade": false,
                }],
            });
            change(&mut case);
            Case::read(&case.to_string())
        };
        assert!(case(|_| {}).is_ok());
        let wrong: [fn(&mut Value); 5] = [
            |case| case["node"]["somethingNew"] = json!(true),
            |case| case["node"]["nodePortAddresses"] = json!("192.168.0.2/32"),
            |case| case["packets"][0]["protocol"] = json!("icmp"),
            |case| case["packets"][0]["verdict"] = json!("LOG"),
            |case| case["packets"][0]["verdict"] = json!("FORWARD"),
        ];
        for change in wrong {
            assert!(case(change).is_err());
        }
    }

    #[test]
    fn a_packet_finds_its_service_by_every_kind_of_frontend() {
        let case = example(|_| {});
        for destination in ["10.0.0.2:80", "192.0.2.2:80", "192.168.0.2:3002"] {
            let frontend = case.frontend(&forwarded("10.9.9.9", destination, &[], false)).expect(destination);
            assert!(frontend.external_policy_is_local());
            let usable: BTreeSet<_> = frontend.usable().iter().map(SocketAddr::to_string).collect();
            assert_eq!(usable, BTreeSet::from(["10.2.0.1:8080".to_owned(), "10.2.0.2:8080".to_owned()]));
        }
        assert!(case.frontend(&forwarded("10.9.9.9", "10.0.0.2:81", &[], false)).is_none());
    }

    #[test]
    fn those_that_drain_are_usable_where_nobody_is_ready() {
        let case = example(|case| {
            for endpoint in case["endpointSlices"][0]["endpoints"].as_array_mut().expect("endpoints") {
                let serving = endpoint["nodeName"] == "there";
                endpoint["conditions"] = json!({ "ready": false, "serving": serving, "terminating": true });
            }
        });
        let frontend = case.frontend(&forwarded("10.9.9.9", "10.0.0.1:80", &[], false)).expect("a frontend");
        assert_eq!(frontend.usable(), ["10.1.0.2:8080".parse().expect("an endpoint")]);
    }
}
