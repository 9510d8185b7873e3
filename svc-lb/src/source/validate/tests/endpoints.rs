//! Endpoints.

use super::{LEFT_OUT, STAYS, assert_findings};

const START: &str = "kind: Endpoints\napiVersion: v1\nmetadata: {name: web}\n";

#[test]
fn addresses_are_those_of_hosts() {
    assert_findings(
        START,
        &[
            (
                "subsets: [{addresses: [{ip: 169.254.0.1}]}]\n",
                LEFT_OUT,
                "4:29: error: subsets[0].addresses[0].ip is \"169.254.0.1\": it is a link-local address, \
                 which has a meaning on one link only; write an ordinary unicast address",
            ),
            (
                "subsets: [{addresses: [{ip: 127.0.0.1}]}]\n",
                LEFT_OUT,
                "4:29: error: subsets[0].addresses[0].ip is \"127.0.0.1\": it is a loopback address; \
                 write an ordinary unicast address",
            ),
            (
                "subsets: [{addresses: [{ip: web}]}]\n",
                LEFT_OUT,
                "4:29: error: subsets[0].addresses[0].ip is \"web\": that is not an IP address; write \
                 one, such as 10.0.0.1 or fd00::1",
            ),
            (
                "subsets: [{addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: 10.0.0}]}]\n",
                LEFT_OUT,
                "4:66: error: subsets[0].notReadyAddresses[0].ip is \"10.0.0\": that is not an IP \
                 address; write one, such as 10.0.0.1 or fd00::1",
            ),
            (
                "subsets: [{addresses: [{ip: 010.0.0.1}]}]\n",
                STAYS,
                "4:29: error: subsets[0].addresses[0].ip is \"010.0.0.1\": programs differ in how they \
                 read an address in this form; svc-lb takes it for 10.0.0.1: write that",
            ),
        ],
    );
}

#[test]
fn a_subset_has_addresses() {
    assert_findings(
        START,
        &[(
            "subsets: [{ports: [{port: 80}]}]\n",
            STAYS,
            "4:11: error: subsets[0] has no addresses: it has addresses, notReadyAddresses, or both; \
             write one, or delete the subset; until then it stands for no endpoint",
        )],
    );
}

#[test]
fn names_are_those_that_something_can_have() {
    assert_findings(
        START,
        &[
            (
                "subsets: [{addresses: [{ip: 10.0.0.1, nodeName: N}]}]\n",
                STAYS,
                "4:49: error: subsets[0].addresses[0].nodeName is \"N\": nothing can have that name; \
                 write another; until then it is compared as it stands",
            ),
            (
                "subsets: [{addresses: [{ip: 10.0.0.1, hostname: a.b}]}]\n",
                STAYS,
                "4:49: error: subsets[0].addresses[0].hostname is \"a.b\": nothing can have that name; \
                 write another; until then it is compared as it stands",
            ),
        ],
    );
}

#[test]
fn ports_are_in_range_and_of_a_protocol() {
    assert_findings(
        START,
        &[
            (
                "subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 0}]}]\n",
                LEFT_OUT,
                "4:56: error: subsets[0].ports[0].port is missing or 0: a port is a number from 1 to \
                 65535; write one of these numbers",
            ),
            (
                "subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 1, protocol: Tcp}]}]\n",
                LEFT_OUT,
                "4:69: error: subsets[0].ports[0].protocol is \"Tcp\": it is one of TCP, UDP, SCTP; \
                 write TCP",
            ),
            (
                "subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 1, appProtocol: /}]}]\n",
                STAYS,
                "4:72: error: subsets[0].ports[0].appProtocol is \"/\": it is a name of IANA's such as \
                 http, or one with a domain as in kubernetes.io/h2c; write one of these; what svc-lb \
                 does is the same for all",
            ),
        ],
    );
}

#[test]
fn several_ports_have_names_which_are_dns_labels() {
    assert_findings(
        START,
        &[
            (
                "subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 1, name: a_b}]}]\n",
                LEFT_OUT,
                "4:65: error: subsets[0].ports[0].name is \"a_b\": a name has lower-case letters, digits \
                 and '-', and at most 63 of them; give it another name",
            ),
            (
                "subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 1, name: a}, {port: 2}]}]\n",
                STAYS,
                "4:69: error: subsets[0].ports[1] has no name: ports are told apart by their names; give \
                 each that of the Service's port; until then this one is that of a port without name",
            ),
        ],
    );
}
