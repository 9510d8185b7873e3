//! Annotations with a meaning.

use super::{STAYS, assert_findings};

const START: &str = "apiVersion: v1\n";

#[test]
fn an_algorithm_is_one_that_there_is() {
    assert_findings(
        START,
        &[(
            "kind: Service\nmetadata: {name: a, annotations: {svc-lb.io/algorithm: fastest}}\nspec: \
             {ports: [{port: 80}]}\n",
            STAYS,
            "3:56: error: svc-lb.io/algorithm is \"fastest\": it is one of round-robin, random, maglev, \
             least-connections; write another; until then it is round-robin",
        )],
    );
}

#[test]
fn only_a_service_has_an_algorithm() {
    assert_findings(
        START,
        &[(
            "kind: Pod\nmetadata: {name: a, annotations: {svc-lb.io/algorithm: maglev}}\n",
            STAYS,
            "3:56: warning: svc-lb knows no annotation svc-lb.io/algorithm on a Pod, so it has no \
             effect: there are svc-lb.io/algorithm on Services, and svc-lb.io/weight on Pods, \
             EndpointSlices and Endpoints; write one of these, or delete it",
        )],
    );
}

#[test]
fn an_annotation_that_svc_lb_does_not_know_is_told() {
    assert_findings(
        START,
        &[(
            "kind: Service\nmetadata: {name: a, annotations: {svc-lb.io/algorithms: maglev}}\nspec: \
             {ports: [{port: 80}]}\n",
            STAYS,
            "3:57: warning: svc-lb knows no annotation svc-lb.io/algorithms on a Service, so it has no \
             effect: there are svc-lb.io/algorithm on Services, and svc-lb.io/weight on Pods, \
             EndpointSlices and Endpoints; write one of these, or delete it",
        )],
    );
}

#[test]
fn source_ranges_are_no_annotation() {
    assert_findings(
        START,
        &[
            (
                "kind: Service\nmetadata: {name: a, annotations: \
                 {service.beta.kubernetes.io/load-balancer-source-ranges: \"10.0.0.0/8, x\"}}\nspec: \
                 {type: LoadBalancer, ports: [{port: 80}]}\n",
                STAYS,
                "3:91: warning: the annotation service.beta.kubernetes.io/load-balancer-source-ranges \
                 has no effect: svc-lb, like kube-proxy, reads spec.loadBalancerSourceRanges; write \
                 loadBalancerSourceRanges: [10.0.0.0/8, x]\n\
                 3:91: error: a range of service.beta.kubernetes.io/load-balancer-source-ranges is \" \
                 x\": that is not a CIDR; write one, such as 10.244.1.0/24 or fd00:1::/64; until then it \
                 has no effect, as all of them",
            ),
            (
                "kind: Service\nmetadata: {name: a, annotations: \
                 {service.beta.kubernetes.io/load-balancer-source-ranges: \"10.0.0.0/8, x\"}}\nspec: \
                 {type: NodePort, ports: [{port: 80}]}\n",
                STAYS,
                "3:91: error: \
                 metadata.annotations.service.beta.kubernetes.io/load-balancer-source-ranges is given: \
                 only Services of type LoadBalancer have it; leave it out; until then it has no effect\n\
                 3:91: error: a range of service.beta.kubernetes.io/load-balancer-source-ranges is \" \
                 x\": that is not a CIDR; write one, such as 10.244.1.0/24 or fd00:1::/64; until then it \
                 has no effect, as all of them",
            ),
        ],
    );
}

#[test]
fn a_weight_is_a_number_up_to_a_hundred() {
    assert_findings(
        START,
        &[
            (
                "kind: Pod\nmetadata: {name: a, annotations: {svc-lb.io/weight: \"0\"}}\n",
                STAYS,
                "3:53: error: svc-lb.io/weight is \"0\": a weight is a whole number from 1 to 100; write \
                 another; until then it counts as left out",
            ),
            (
                "kind: Pod\nmetadata: {name: a, annotations: {svc-lb.io/weight: \"101\"}}\n",
                STAYS,
                "3:53: error: svc-lb.io/weight is \"101\": a weight is a whole number from 1 to 100; \
                 write another; until then it counts as left out",
            ),
            (
                "kind: Endpoints\nmetadata: {name: a, annotations: {svc-lb.io/weight: heavy}}\n",
                STAYS,
                "3:53: error: svc-lb.io/weight is \"heavy\": a weight is a whole number from 1 to 100; \
                 write another; until then it counts as left out",
            ),
        ],
    );
}

#[test]
fn only_what_gives_endpoints_has_a_weight() {
    assert_findings(
        START,
        &[
            (
                "kind: Service\nmetadata: {name: a, annotations: {svc-lb.io/weight: \"2\"}}\nspec: \
                 {ports: [{port: 80}]}\n",
                STAYS,
                "3:53: warning: svc-lb knows no annotation svc-lb.io/weight on a Service, so it has no \
                 effect: there are svc-lb.io/algorithm on Services, and svc-lb.io/weight on Pods, \
                 EndpointSlices and Endpoints; write one of these, or delete it",
            ),
            (
                "kind: Node\nmetadata: {name: a, annotations: {svc-lb.io/weight: \"2\"}}\n",
                STAYS,
                "3:53: warning: svc-lb knows no annotation svc-lb.io/weight on a Node, so it has no \
                 effect: there are svc-lb.io/algorithm on Services, and svc-lb.io/weight on Pods, \
                 EndpointSlices and Endpoints; write one of these, or delete it",
            ),
        ],
    );
}
