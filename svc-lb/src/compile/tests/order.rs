//! The tables depend on what the manifests say, and on nothing else.

use super::*;
use proptest::prelude::*;
use std::net::IpAddr;

/// One of several documents that meet: Services of several types that want the same, Pods, slices and Nodes.
fn document(index: usize) -> String {
    match index % 6 {
        0 => service(
            &format!("s{index}"),
            "  type: NodePort\n  selector: {app: a}\n  trafficDistribution: PreferSameNode\n  ports: [{port: 80}]\n",
        ),
        1 => service(
            &format!("s{index}"),
            "  type: NodePort\n  clusterIP: 10.96.0.1\n  ports: [{port: 80, nodePort: 30001}]\n",
        ),
        2 => format!(
            "---\nkind: Pod\napiVersion: v1\nmetadata: {{name: p{index}, labels: {{app: a}}, \
             annotations: {{svc-lb.io/weight: '{index}'}}}}\n\
             spec: {{nodeName: node-{}, containers: [{{name: c}}]}}\nstatus: {{podIP: 10.244.0.{index}}}\n",
            index % 4
        ),
        3 => format!(
            "---\nkind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n\
             metadata: {{name: e{index}, labels: {{kubernetes.io/service-name: s4}}}}\naddressType: IPv4\n\
             ports: [{{port: 80}}]\nendpoints:\n\
             - {{addresses: [10.0.0.{index}], hints: {{forZones: [{{name: zone-{}}}]}}}}\n\
             - {{addresses: [10.0.0.99], nodeName: node-{index}, targetRef: {{kind: Pod, name: p{index}}}}}\n",
            index % 2
        ),
        4 => {
            let spec = "  type: LoadBalancer\n  externalTrafficPolicy: Local\n  ports: [{port: 80}]\n  \
                        externalIPs: [203.0.113.9]\n  loadBalancerSourceRanges: [192.0.2.0/24, 10.0.0.0/8]\n";
            service(&format!("s{index}"), spec)
                + &ingress(&format!("{{ip: 203.0.113.7}}, {{ip: 203.0.113.{index}}}"))
        }
        _ => format!(
            "---\nkind: Node\napiVersion: v1\nmetadata: {{name: node-{}, labels: {{topology.kubernetes.io/zone: zone-{}}}}}\n",
            index / 6,
            index / 12
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_order_of_documents_does_not_matter(order in Just((0..36usize).collect::<Vec<_>>()).prop_shuffle()) {
        let in_order: String = (0..36).map(document).collect();
        let shuffled: String = order.into_iter().map(document).collect();
        let (first, second) = (compiled(&in_order), compiled(&shuffled));
        prop_assert_eq!(first.tables, second.tables);
        prop_assert_eq!(first.health_checks, second.health_checks);
        prop_assert_eq!(joined(&in_order).allocations, joined(&shuffled).allocations);
    }
}

#[test]
fn addresses_sort_by_number() {
    let compiled = compiled(&WEB.replace("10.244.0.12", "10.244.0.9"));
    let list = &compiled.tables.services.values().next().expect("a service").lists.cluster;
    let addresses: Vec<IpAddr> = list.iter().map(|it| it.endpoint.ip()).collect();
    assert!(addresses.is_sorted(), "{addresses:?}");
}
