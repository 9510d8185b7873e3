//! What only Services of type LoadBalancer have.

use super::{STAYS, assert_findings};

const START: &str = "kind: Service\napiVersion: v1\nmetadata:\n  name: web\nspec:\n  ports: [{port: 80}]\n";

#[test]
fn others_have_none_of_it() {
    assert_findings(
        START,
        &[
            (
                "  allocateLoadBalancerNodePorts: false\n",
                STAYS,
                "7:34: error: spec.allocateLoadBalancerNodePorts is given: only Services of type \
                 LoadBalancer have it; leave it out; until then it has no effect",
            ),
            (
                "  loadBalancerClass: example.org/x\n",
                STAYS,
                "7:22: error: spec.loadBalancerClass is given: only Services of type LoadBalancer have \
                 it; leave it out; until then it has no effect",
            ),
            (
                "  loadBalancerSourceRanges: [10.0.0.0/8]\n",
                STAYS,
                "7:3: error: spec.loadBalancerSourceRanges is given: only Services of type LoadBalancer \
                 have it; leave it out; until then it has no effect",
            ),
            (
                "status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}\n",
                STAYS,
                "7:25: error: the Service has addresses of a load balancer: its type is ClusterIP; write \
                 type: LoadBalancer, or delete them; until then nobody answers there",
            ),
        ],
    );
}

#[test]
fn its_class_is_a_name() {
    assert_findings(
        START,
        &[(
            "  type: LoadBalancer\n  loadBalancerClass: not a class\n",
            STAYS,
            "8:22: error: spec.loadBalancerClass is \"not a class\": it is a name such as \
             example.org/internal; write another; what svc-lb does is the same for all",
        )],
    );
}

#[test]
fn an_address_is_not_asked_for() {
    assert_findings(
        START,
        &[(
            "  type: LoadBalancer\n  loadBalancerIP: 192.0.2.1\n",
            STAYS,
            "8:19: warning: spec.loadBalancerIP has no effect: it is a request to who gives load \
             balancers their addresses; svc-lb answers at those of status.loadBalancer.ingress",
        )],
    );
}

#[test]
fn source_ranges_are_cidrs() {
    assert_findings(
        START,
        &[
            (
                "  type: LoadBalancer\n  loadBalancerSourceRanges: [\" 10.0.0.0/8 \", 10.0.0.0/33]\n",
                STAYS,
                "8:46: error: spec.loadBalancerSourceRanges[1] is \"10.0.0.0/33\": that is not a CIDR; \
                 write one, such as 10.244.1.0/24 or fd00:1::/64; until then it allows nobody",
            ),
            (
                "  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.1]\n",
                STAYS,
                "8:30: error: spec.loadBalancerSourceRanges[0] is \"10.0.0.1\": that is not a CIDR; \
                 write one, such as 10.244.1.0/24 or fd00:1::/64; until then it allows nobody",
            ),
            (
                "  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.1/8, 010.0.0.0/8]\n",
                STAYS,
                "8:30: error: spec.loadBalancerSourceRanges[0] is \"10.0.0.1/8\": programs differ in how \
                 they read a range in this form; svc-lb takes it for 10.0.0.0/8: write that\n\
                 8:42: error: spec.loadBalancerSourceRanges[1] is \"010.0.0.0/8\": programs differ in \
                 how they read a range in this form; svc-lb takes it for 10.0.0.0/8: write that",
            ),
            (
                "  type: LoadBalancer\n  loadBalancerSourceRanges: [\"::ffff:10.0.0.0/104\"]\n",
                STAYS,
                "8:30: error: spec.loadBalancerSourceRanges[0] is \"::ffff:10.0.0.0/104\": that is not a \
                 CIDR; write one, such as 10.244.1.0/24 or fd00:1::/64; until then it allows nobody",
            ),
        ],
    );
}

#[test]
fn an_ingress_is_an_address_or_a_name() {
    assert_findings(
        START,
        &[
            (
                "  type: LoadBalancer\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2}]}}\n",
                STAYS,
                "8:40: error: status.loadBalancer.ingress[0].ip is \"192.0.2\": that is not an IP \
                 address; write one, such as 192.0.2.1; until then nobody answers there",
            ),
            (
                "  type: LoadBalancer\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.01}]}}\n",
                STAYS,
                "8:40: error: status.loadBalancer.ingress[0].ip is \"192.0.2.01\": programs differ in \
                 how they read an address in this form; svc-lb takes it for 192.0.2.1: write that",
            ),
            (
                "  type: LoadBalancer\nstatus: {loadBalancer: {ingress: [{ip: 127.0.0.1}]}}\n",
                STAYS,
                "8:40: warning: status.loadBalancer.ingress[0].ip is \"127.0.0.1\": it is a loopback \
                 address; write an ordinary unicast address",
            ),
            (
                "  type: LoadBalancer\nstatus: {loadBalancer: {ingress: [{hostname: 192.0.2.1}]}}\n",
                STAYS,
                "8:46: error: status.loadBalancer.ingress[0].hostname is \"192.0.2.1\": it is a name in \
                 the DNS; write one, or give an address by ip; svc-lb reads addresses only",
            ),
            (
                "  type: LoadBalancer\nstatus: {loadBalancer: {ingress: [{hostname: a_b}]}}\n",
                STAYS,
                "8:46: error: status.loadBalancer.ingress[0].hostname is \"a_b\": it is a name in the \
                 DNS; write one, or give an address by ip; svc-lb reads addresses only",
            ),
        ],
    );
}

#[test]
fn the_mode_is_that_of_an_address() {
    assert_findings(
        START,
        &[
            (
                "  type: LoadBalancer\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.1, ipMode: \
                 vip}]}}\n",
                STAYS,
                "8:59: error: status.loadBalancer.ingress[0].ipMode is \"vip\": it is VIP or Proxy; \
                 write one of them; until then svc-lb leaves the address alone, as for Proxy",
            ),
            (
                "  type: LoadBalancer\nstatus: {loadBalancer: {ingress: [{hostname: a.b, ipMode: \
                 VIP}]}}\n",
                STAYS,
                "8:59: error: status.loadBalancer.ingress[0].ipMode is given: it is about ip, which is \
                 not given; leave it out; until then it has no effect",
            ),
        ],
    );
}
