//! A file of endpoint choices: which endpoints of a Service port a node may choose from. No packet is sent: the
//! objects go through `cluster` and `compile`.

use crate::{difference::Difference, tally::Judgement};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};
use svc_lb::{
    cluster::{Allocations, Ranges, TrafficPolicy, join},
    compile::{self, FrontendKind, compile},
    node::Facts,
    source::read_text,
};
use svc_lb_common::snat::PortRange;

/// A node that the case does not name.
const THIS_NODE: &str = "this-node";
/// Every other.
const OTHER_NODE: &str = "another-node";
/// The port of the Service.
const PORT: u16 = 8000;

/// What a file holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    /// The choices.
    pub cases: Vec<Choice>,
    /// Where kube-proxy makes them.
    #[serde(rename = "source")]
    _source: String,
}

/// A Service port on a node, and its endpoints.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Choice {
    /// What it shows, in words.
    pub name: String,
    endpoints: Option<Vec<Candidate>>,
    expect: Expected,
    node_labels: Option<BTreeMap<String, String>>,
    node_name: String,
    /// The feature gate of hints for nodes.
    #[serde(rename = "preferSameTrafficDistribution")]
    node_hints: bool,
    service: Service,
}

/// An endpoint; it has `address:port` and says everything.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "these are the conditions that there are")]
struct Candidate {
    endpoint: SocketAddr,
    local: bool,
    ready: bool,
    serving: bool,
    terminating: bool,
    node_hints: Vec<String>,
    zone_hints: Vec<String>,
}

/// The policies of the Service, and whether it is for anybody outside the cluster.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Service {
    external_policy_local: bool,
    externally_accessible: bool,
    internal_policy_local: bool,
    node_port: u16,
}

/// What kube-proxy chooses from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expected {
    /// Under policy Cluster; `None`: nobody comes under it.
    cluster: Option<BTreeSet<SocketAddr>>,
    /// Under policy Local; `None`: nobody comes under it.
    local: Option<BTreeSet<SocketAddr>>,
    /// Both together; `None`: there is one of the two at the most.
    all: Option<BTreeSet<SocketAddr>>,
    /// Whether there are endpoints in spite of an empty list, so that what comes is dropped, not rejected.
    only_remote_endpoints: bool,
}

/// What a node chooses from. No list and an empty one are the same: nobody gets anything there.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    cluster: BTreeSet<SocketAddr>,
    local: BTreeSet<SocketAddr>,
    all: BTreeSet<SocketAddr>,
    has_any: bool,
}

impl Choice {
    /// Compares what svc-lb chooses from.
    pub fn judge(&self) -> Judgement {
        let (expected, differences) = self.expected();
        let expected = Chosen::from(expected);
        match self.chosen() {
            Ok(chosen) if chosen == expected => Judgement::of(differences),
            Ok(chosen) => Judgement::Wrong(format!("expected {expected:?}\nfound    {chosen:?}")),
            Err(error) => Judgement::Wrong(format!("{error:#}")),
        }
    }

    /// What svc-lb is to choose from, and by which difference that is not what kube-proxy does.
    fn expected(&self) -> (Expected, BTreeSet<Difference>) {
        let ready = || self.endpoints.iter().flatten().filter(|endpoint| endpoint.ready);
        let here: BTreeSet<SocketAddr> = ready()
            .filter(|endpoint| endpoint.node_hints.contains(&self.node_name))
            .map(|endpoint| endpoint.endpoint)
            .collect();
        let hinted = ready().all(|endpoint| !endpoint.node_hints.is_empty()) && !here.is_empty();
        let mut expected = self.expect.clone();
        if self.node_hints || !hinted || expected.cluster.as_ref().is_none_or(|cluster| *cluster == here) {
            return (expected, BTreeSet::new());
        }
        expected.all = expected.all.map(|_| &here | expected.local.as_ref().unwrap_or(&BTreeSet::new()));
        expected.cluster = Some(here);
        (expected, BTreeSet::from([Difference::NodeHintsAlwaysCount]))
    }

    /// What svc-lb chooses from.
    fn chosen(&self) -> Result<Chosen> {
        let reading = read_text("choice.json", &self.manifest()?);
        let ranges = Ranges { node_ports: PortRange { first: 1, last: u16::MAX }, ..Ranges::default() };
        let joined = join(&reading.objects, &ranges, &Allocations::default());
        let options = compile::Options { node_name: self.node().to_owned(), ..compile::Options::default() };
        let compiled = compile(&joined.cluster, &Facts::default(), &options);
        let service = compiled.tables.services.values().next();
        let service =
            service.with_context(|| format!("the Service is not served: {:?}", compiled.findings()))?;
        ensure!(compiled.tables.services.len() == 1, "more than one Service port");

        let is_external = |kind: FrontendKind| kind != FrontendKind::ClusterIp;
        let external = compiled.tables.frontends.values().any(|target| is_external(target.kind));
        // From inside the cluster, an external frontend is for all endpoints whatever its policy.
        let clustered = external || service.internal_policy == TrafficPolicy::Cluster;
        let set = |list: &[compile::Weighted]| list.iter().map(|it| it.endpoint).collect::<BTreeSet<_>>();
        let (cluster, local) = (set(&service.lists.cluster), set(&service.lists.local));
        let has_any = !cluster.is_empty() || !local.is_empty();
        let cluster = if clustered { cluster } else { BTreeSet::new() };
        Ok(Chosen { all: &cluster | &local, cluster, local, has_any })
    }

    fn node(&self) -> &str {
        if self.node_name.is_empty() { THIS_NODE } else { &self.node_name }
    }

    /// The objects.
    fn manifest(&self) -> Result<String> {
        let Service { external_policy_local, externally_accessible, internal_policy_local, node_port } =
            self.service;
        ensure!(externally_accessible == (node_port != 0), "it is accessible otherwise than by a node port");
        let policy = |local| if local { "Local" } else { "Cluster" };
        let number = self.endpoints.iter().flatten().next().map_or(80, |endpoint| endpoint.endpoint.port());
        let mut service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": "choice", "namespace": "default" },
            "spec": {
                "type": if externally_accessible { "NodePort" } else { "ClusterIP" },
                "clusterIP": "10.96.0.10",
                "internalTrafficPolicy": policy(internal_policy_local),
                "externalTrafficPolicy": policy(external_policy_local),
                "ports": [{ "port": PORT, "protocol": "TCP", "targetPort": number }],
            },
        });
        if externally_accessible {
            service["spec"]["ports"][0]["nodePort"] = node_port.into();
        }
        let endpoints: Vec<Value> =
            self.endpoints.iter().flatten().map(|it| it.manifest(self.node())).collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "choice-1",
                "namespace": "default",
                "labels": { "kubernetes.io/service-name": "choice" },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "", "port": number, "protocol": "TCP" }],
            "endpoints": endpoints,
        });
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": self.node(), "labels": self.node_labels },
            "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.1" }] },
        });
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [service, slice, node] });
        Ok(list.to_string())
    }
}

impl Candidate {
    fn manifest(&self, node: &str) -> Value {
        let hints = |names: &[String]| names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
        json!({
            "addresses": [self.endpoint.ip()],
            "nodeName": if self.local { node } else { OTHER_NODE },
            "conditions": {
                "ready": self.ready, "serving": self.serving, "terminating": self.terminating,
            },
            "hints": { "forNodes": hints(&self.node_hints), "forZones": hints(&self.zone_hints) },
        })
    }
}

impl From<Expected> for Chosen {
    fn from(expected: Expected) -> Self {
        let Expected { cluster, local, all, only_remote_endpoints } = expected;
        let (cluster, local) = (cluster.unwrap_or_default(), local.unwrap_or_default());
        let all = all.unwrap_or_else(|| &cluster | &local);
        let has_any = !all.is_empty() || only_remote_endpoints;
        Self { cluster, local, all, has_any }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ready endpoints with hints for nodes and zones: `n1` in `a`, `n2` in `b`.
    fn choice(change: impl FnOnce(&mut Value)) -> Choice {
        let endpoint = |number: u8, zone: &str| {
            json!({
                "endpoint": format!("10.0.0.{number}:80"), "local": false, "ready": true, "serving": false,
                "terminating": false, "nodeHints": [format!("n{number}")], "zoneHints": [zone],
            })
        };
        let mut choice = json!({
            "name": "", "nodeName": "n1", "nodeLabels": { "topology.kubernetes.io/zone": "b" },
            "preferSameTrafficDistribution": true, "endpoints": [endpoint(1, "a"), endpoint(2, "b")],
            "service": {
                "externalPolicyLocal": false, "externallyAccessible": false, "internalPolicyLocal": false,
                "nodePort": 0,
            },
            "expect": {
                "all": null, "cluster": ["10.0.0.1:80"], "local": null, "onlyRemoteEndpoints": false,
            },
        });
        change(&mut choice);
        serde_json::from_value(choice).expect("a choice")
    }

    #[test]
    fn the_endpoints_that_are_chosen_are_compared() {
        assert_eq!(choice(|_| {}).judge(), Judgement::Agree);
        let all = json!(["10.0.0.1:80", "10.0.0.2:80"]);
        let changes: [fn(&mut Value, &Value); 3] = [
            |choice, all| choice["expect"]["cluster"] = all.clone(),
            |choice, all| choice["expect"]["local"] = all.clone(),
            |choice, _| choice["nodeName"] = json!("n2"),
        ];
        for change in changes {
            let judgement = choice(|choice| change(choice, &all)).judge();
            assert!(matches!(judgement, Judgement::Wrong(_)), "{judgement:?}");
        }
    }

    #[test]
    fn hints_for_nodes_count_without_the_gate_too() {
        let without = choice(|choice| {
            choice["preferSameTrafficDistribution"] = json!(false);
            choice["expect"]["cluster"] = json!(["10.0.0.2:80"]);
        });
        assert_eq!(without.judge(), Judgement::of(BTreeSet::from([Difference::NodeHintsAlwaysCount])));
        // Nobody is hinted at for this node, so it is the zone's turn in both.
        let elsewhere = choice(|choice| {
            choice["preferSameTrafficDistribution"] = json!(false);
            choice["nodeName"] = json!("n3");
            choice["expect"]["cluster"] = json!(["10.0.0.2:80"]);
        });
        assert_eq!(elsewhere.judge(), Judgement::Agree);
    }
}
