//! What svc-lb does otherwise than kube-proxy, on purpose.
//!
//! Each difference is a rule over the node, the packet's source, its frontend and its backends. It says what
//! svc-lb does there, and that is asserted.

use crate::{
    case::{Case, Packet},
    origin::Origin,
    outcome::{Outcome, Sight},
};
use anyhow::Result;
use std::{collections::BTreeSet, fmt};

/// A difference by design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// A ClusterIP is not served to sources that come in by an uplink, unless `--external-cluster-ips` is given.
    ClusterIpFromUplink,
    /// A pod is known by its interface, also where nobody says which addresses pods have.
    PodWithoutDetector,
    /// A pod keeps its address under external policy Cluster: its replies pass its node again anyway.
    PodKeepsItsAddress,
    /// `--masquerade-all` has no counterpart.
    MasqueradeAll,
    /// A backend of this node sees the client's own address under external policy Cluster too.
    LocalBackendSeesClient,
    /// What comes in by an uplink and leaves by one goes under the node's address, also where kube-proxy
    /// cannot tell that it is from outside: the reply would go past this node.
    RemoteBackendSeesNode,
    /// Hints for nodes count always: there is no feature gate.
    NodeHintsAlwaysCount,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterIpFromUplink => {
                "ClusterIP, source outside: dropped; with --external-cluster-ips as kube-proxy does it"
            }
            Self::PodWithoutDetector => {
                "external policy Local, source a pod, kube-proxy cannot tell pods: all usable endpoints, because \
                 the interface tells"
            }
            Self::PodKeepsItsAddress => "external policy Cluster, source a pod of the node: not masqueraded",
            Self::MasqueradeAll => "--masquerade-all, source a pod of the node: not masqueraded",
            Self::LocalBackendSeesClient => "source outside, backend on this node: not masqueraded",
            Self::RemoteBackendSeesNode => "source outside, backend on another node: always masqueraded",
            Self::NodeHintsAlwaysCount => "hints for nodes, feature gate off: they count all the same",
        })
    }
}

/// What svc-lb does with a packet, and by which differences that is not what kube-proxy does.
/// `external_cluster_ips`: the flag.
pub fn expected(
    case: &Case,
    packet: &Packet,
    origin: Origin,
    external_cluster_ips: bool,
) -> Result<(Outcome, BTreeSet<Difference>)> {
    let question = Question {
        case,
        packet,
        origin,
        to_cluster_ip: case.is_cluster_ip(packet.destination),
        external_policy_is_local: case.frontend(packet).is_some_and(|it| it.external_policy_is_local()),
    };
    if origin == Origin::Outside && question.to_cluster_ip && !external_cluster_ips {
        return Ok((Outcome::Drop, BTreeSet::from([Difference::ClusterIpFromUplink])));
    }
    let mut outcome = packet.expected(&case.node)?;
    let mut differences = BTreeSet::new();
    if let Some(all) = question.all_for_a_pod().filter(|all| *all != outcome) {
        differences.insert(Difference::PodWithoutDetector);
        outcome = all;
    }
    let Outcome::Forward(sights) = outcome else { return Ok((outcome, differences)) };
    let own = sights.into_iter().map(|sight| match question.source_differs(sight) {
        None => sight,
        Some(difference) => {
            differences.insert(difference);
            let sees = if sight.sees == packet.source { case.node.ip } else { packet.source };
            Sight { sees, ..sight }
        }
    });
    Ok((Outcome::Forward(own.collect()), differences))
}

/// A packet with what the rules look at.
struct Question<'a> {
    case: &'a Case,
    packet: &'a Packet,
    origin: Origin,
    to_cluster_ip: bool,
    external_policy_is_local: bool,
}

impl Question<'_> {
    /// All backends that a pod may get, where kube-proxy takes it for somebody outside.
    fn all_for_a_pod(&self) -> Option<Outcome> {
        let unknown = self.case.node.pod_cidr.is_none() && self.origin == Origin::Pod;
        if !unknown || self.to_cluster_ip || !self.external_policy_is_local {
            return None;
        }
        let usable = self.case.frontend(self.packet)?.usable();
        let sights = usable.into_iter().map(|backend| Sight { backend, sees: self.packet.source });
        Some(Outcome::Forward(sights.collect()))
    }

    /// Why a backend sees the client in place of the node, or the node in place of the client.
    fn source_differs(&self, sight: Sight) -> Option<Difference> {
        let Self { case, packet, .. } = self;
        let masqueraded = sight.sees != packet.source;
        let under_cluster = !self.to_cluster_ip && !self.external_policy_is_local;
        match self.origin {
            Origin::Pod if masqueraded && sight.backend.ip() != packet.source => {
                if self.to_cluster_ip && case.node.masquerade_all {
                    Some(Difference::MasqueradeAll)
                } else if under_cluster {
                    Some(Difference::PodKeepsItsAddress)
                } else {
                    None
                }
            }
            Origin::Outside if masqueraded => {
                let local = case.is_local(sight.backend) && (self.to_cluster_ip || under_cluster);
                local.then_some(Difference::LocalBackendSeesClient)
            }
            Origin::Outside => {
                let unknown = self.to_cluster_ip && case.node.pod_cidr.is_none();
                (unknown && !case.is_local(sight.backend)).then_some(Difference::RemoteBackendSeesNode)
            }
            Origin::Pod | Origin::Node => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::{example, forwarded};
    use Difference::{
        ClusterIpFromUplink, LocalBackendSeesClient, MasqueradeAll, PodKeepsItsAddress, PodWithoutDetector,
        RemoteBackendSeesNode,
    };
    use serde_json::json;

    const POD: &str = "10.9.9.9";
    const OUTSIDE: &str = "203.0.113.2";
    const NODE: &str = "192.168.0.2";

    /// What svc-lb does with a packet that kube-proxy forwards: each backend and whom it sees, and why.
    fn own(case: &Case, packet: &Packet, origin: Origin, flag: bool) -> (String, Vec<Difference>) {
        let (outcome, differences) = expected(case, packet, origin, flag).expect("a packet");
        (outcome.to_string(), differences.into_iter().collect())
    }

    fn to_both(service: u8, whom: [&str; 2]) -> String {
        format!(
            "forwarded to 10.{service}.0.1:8080 which sees {}, 10.{service}.0.2:8080 which sees {}",
            whom[0], whom[1]
        )
    }

    const BOTH: [&str; 2] = ["10.1.0.1:8080", "10.1.0.2:8080"];

    #[test]
    fn a_source_outside_reaches_a_cluster_ip_by_the_flag_alone() {
        let case = example(|_| {});
        let packet = forwarded(OUTSIDE, "10.0.0.1:80", &BOTH, true);
        let (outcome, why) = own(&case, &packet, Origin::Outside, false);
        assert_eq!((outcome.as_str(), why), ("dropped", vec![ClusterIpFromUplink]));
        let (outcome, why) = own(&case, &packet, Origin::Outside, true);
        assert_eq!((outcome, why), (to_both(1, [OUTSIDE, NODE]), vec![LocalBackendSeesClient]));
    }

    #[test]
    fn without_a_detector_a_remote_backend_of_a_cluster_ip_sees_the_node_all_the_same() {
        let case = example(|case| case["node"]["localPodCIDR"] = json!(""));
        let packet = forwarded(OUTSIDE, "10.0.0.1:80", &BOTH, false);
        let (outcome, why) = own(&case, &packet, Origin::Outside, true);
        assert_eq!((outcome, why), (to_both(1, [OUTSIDE, NODE]), vec![RemoteBackendSeesNode]));
    }

    #[test]
    fn under_external_policy_cluster_only_a_remote_backend_sees_the_node_and_only_for_sources_outside() {
        let case = example(|_| {});
        for destination in ["192.0.2.1:80", "192.168.0.2:3001"] {
            let packet = forwarded(OUTSIDE, destination, &BOTH, true);
            let (outcome, why) = own(&case, &packet, Origin::Outside, false);
            assert_eq!((outcome, why), (to_both(1, [OUTSIDE, NODE]), vec![LocalBackendSeesClient]));
            let packet = forwarded(POD, destination, &BOTH, true);
            let (outcome, why) = own(&case, &packet, Origin::Pod, false);
            assert_eq!((outcome, why), (to_both(1, [POD, POD]), vec![PodKeepsItsAddress]));
        }
    }

    #[test]
    fn a_pod_that_is_chosen_for_itself_sees_the_node_here_too() {
        let case = example(|case| case["node"]["masqueradeAll"] = json!(true));
        let packet = forwarded("10.1.0.1", "10.0.0.1:80", &BOTH, true);
        let (outcome, why) = own(&case, &packet, Origin::Pod, false);
        assert_eq!((outcome, why), (to_both(1, [NODE, "10.1.0.1"]), vec![MasqueradeAll]));
    }

    #[test]
    fn a_pod_is_a_pod_without_a_detector_too() {
        let packet = forwarded(POD, "192.168.0.2:3002", &["10.2.0.1:8080"], false);
        let case = example(|case| case["node"]["localPodCIDR"] = json!(""));
        let (outcome, why) = own(&case, &packet, Origin::Pod, false);
        assert_eq!((outcome, why), (to_both(2, [POD, POD]), vec![PodWithoutDetector]));
        let (_, why) = own(&example(|_| {}), &packet, Origin::Pod, false);
        assert_eq!(why, []);
    }

    #[test]
    fn where_no_rule_says_so_nothing_differs() {
        let case = example(|_| {});
        for (origin, packet) in [
            (Origin::Pod, forwarded(POD, "10.0.0.1:80", &BOTH, false)),
            // Not as kube-proxy does, but it would be a mistake of the data, not of svc-lb by design.
            (Origin::Pod, forwarded(POD, "10.0.0.1:80", &BOTH, true)),
            (Origin::Pod, forwarded(POD, "192.168.0.2:3002", &["10.2.0.1:8080"], true)),
            (Origin::Outside, forwarded(OUTSIDE, "192.168.0.2:3002", &["10.2.0.1:8080"], true)),
            (Origin::Outside, forwarded(OUTSIDE, "192.168.0.2:3002", &["10.2.0.1:8080"], false)),
            (Origin::Node, forwarded(NODE, "10.0.0.1:80", &BOTH, true)),
            (Origin::Node, forwarded(NODE, "192.168.0.2:3001", &BOTH, true)),
        ] {
            let (outcome, differences) = expected(&case, &packet, origin, false).expect("a packet");
            assert_eq!(outcome, packet.expected(&case.node).expect("an outcome"));
            assert!(differences.is_empty(), "{packet:?}");
        }
    }
}
