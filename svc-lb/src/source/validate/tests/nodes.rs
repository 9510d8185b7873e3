//! Nodes.

use super::{LEFT_OUT, STAYS, assert_findings};

const START: &str = "kind: Node\napiVersion: v1\nmetadata:\n  name: node-1\n";

#[test]
fn internal_addresses_are_those_of_hosts() {
    assert_findings(
        START,
        &[
            (
                "status: {addresses: [{type: InternalIP, address: a}]}\n",
                LEFT_OUT,
                "5:50: error: status.addresses[0].address is \"a\": that is not an IP address; write \
                 one, such as 10.0.0.1 or fd00::1",
            ),
            (
                "status: {addresses: [{type: InternalIP, address: 127.0.0.1}]}\n",
                LEFT_OUT,
                "5:50: error: status.addresses[0].address is \"127.0.0.1\": it is a loopback address; \
                 write an ordinary unicast address",
            ),
            (
                "status: {addresses: [{type: InternalIP, address: 10.0.0.08}]}\n",
                STAYS,
                "5:50: error: status.addresses[0].address is \"10.0.0.08\": programs differ in how they \
                 read an address in this form; svc-lb takes it for 10.0.0.8: write that",
            ),
        ],
    );
}

#[test]
fn a_node_belongs_to_no_namespace() {
    assert_findings(
        START,
        &[(
            "  namespace: default\n",
            STAYS,
            "5:14: error: metadata.namespace is \"default\": a Node belongs to no namespace; leave it \
             out; until then it has no effect",
        )],
    );
}

#[test]
fn an_address_is_given_once() {
    assert_findings(
        START,
        &[(
            "status: {addresses: [{type: InternalIP, address: 10.0.0.1}, {type: InternalIP, address: \
             10.0.0.1}]}\n",
            STAYS,
            "5:61: error: status.addresses[1] is InternalIP 10.0.0.1 a second time: once is enough; \
             delete one of the two",
        )],
    );
}

#[test]
fn pod_cidrs_are_cidrs() {
    assert_findings(
        START,
        &[
            (
                "spec: {podCIDRs: [10.0.0.0/8, 10.0.0.1]}\n",
                LEFT_OUT,
                "5:31: error: spec.podCIDRs[1] is \"10.0.0.1\": that is not a CIDR; write one, such as \
                 10.244.1.0/24 or fd00:1::/64",
            ),
            (
                "spec: {podCIDR: 10.0.0.0/33}\n",
                LEFT_OUT,
                "5:17: error: spec.podCIDR is \"10.0.0.0/33\": that is not a CIDR; write one, such as \
                 10.244.1.0/24 or fd00:1::/64",
            ),
            (
                "spec: {podCIDR: 10.0.0.1/24}\n",
                STAYS,
                "5:17: error: spec.podCIDR is \"10.0.0.1/24\": programs differ in how they read a range \
                 in this form; svc-lb takes it for 10.0.0.0/24: write that",
            ),
        ],
    );
}

#[test]
fn the_two_fields_of_pod_cidrs_agree() {
    assert_findings(
        START,
        &[(
            "spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.2.0.0/24]}\n",
            STAYS,
            "5:17: error: spec.podCIDR is 10.1.0.0/24: it is the first of spec.podCIDRs, which is \
             another; leave out one of the two fields; until then spec.podCIDRs holds",
        )],
    );
}

#[test]
fn a_node_has_one_range_of_each_family() {
    assert_findings(
        START,
        &[(
            "spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24, 10.2.0.0/24]}\n",
            STAYS,
            "5:54: error: spec.podCIDRs[1] is a second IPv4 range: a Node has one of each family; leave \
             it out; until then it is used, too",
        )],
    );
}
