//! EndpointSlices.

use super::{LEFT_OUT, STAYS, assert_findings};

const START: &str = "kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n\
                     metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n";

#[test]
fn addresses_are_of_one_of_three_types() {
    assert_findings(
        START,
        &[
            (
                "endpoints: []\n",
                LEFT_OUT,
                "1:1: error: addressType is missing: all addresses of a slice are of one type; write \
                 IPv4 or IPv6",
            ),
            (
                "addressType: IPv5\nendpoints: []\n",
                LEFT_OUT,
                "4:14: error: addressType is \"IPv5\": it is one of IPv4, IPv6, FQDN; write one of \
                 these, or leave it out",
            ),
            (
                "addressType: FQDN\nendpoints: [{addresses: [a.b]}]\n",
                STAYS,
                "4:14: note: addressType is FQDN: such endpoints are names, which have no meaning to a \
                 proxy; svc-lb leaves them alone",
            ),
        ],
    );
}

#[test]
fn addresses_are_those_of_hosts_of_the_type() {
    assert_findings(
        START,
        &[
            (
                "addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}]\n",
                LEFT_OUT,
                "5:26: error: endpoints[0].addresses[0] is \"10.0.0.1\": an IPv6 address belongs here; \
                 write one, or give the other family",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [127.0.0.1]}]\n",
                LEFT_OUT,
                "5:26: error: endpoints[0].addresses[0] is \"127.0.0.1\": it is a loopback address; \
                 write an ordinary unicast address",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [169.254.0.1]}]\n",
                LEFT_OUT,
                "5:26: error: endpoints[0].addresses[0] is \"169.254.0.1\": it is a link-local address, \
                 which has a meaning on one link only; write an ordinary unicast address",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [0.0.0.0]}]\n",
                LEFT_OUT,
                "5:26: error: endpoints[0].addresses[0] is \"0.0.0.0\": it is the unspecified address; \
                 write an ordinary unicast address",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [224.0.0.1]}]\n",
                LEFT_OUT,
                "5:26: error: endpoints[0].addresses[0] is \"224.0.0.1\": it is a multicast address; \
                 write an ordinary unicast address",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [web]}]\n",
                LEFT_OUT,
                "5:26: error: endpoints[0].addresses[0] is \"web\": that is not an IP address; write \
                 one, such as 10.0.0.1 or fd00::1",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [10.0.0.01]}]\n",
                STAYS,
                "5:26: error: endpoints[0].addresses[0] is \"10.0.0.01\": programs differ in how they \
                 read an address in this form; svc-lb takes it for 10.0.0.1: write that",
            ),
            (
                "addressType: FQDN\nendpoints: [{addresses: [web]}]\n",
                STAYS,
                "4:14: note: addressType is FQDN: such endpoints are names, which have no meaning to a \
                 proxy; svc-lb leaves them alone\n\
                 5:26: error: endpoints[0].addresses[0] is \"web\": that is no full name in the DNS, \
                 such as db.example.org; write one; svc-lb leaves all of them alone",
            ),
        ],
    );
}

#[test]
fn addresses_beside_the_first_are_checked_too() {
    assert_findings(
        START,
        &[(
            "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1, \"fd00::1\"]}]\n",
            STAYS,
            "5:36: error: endpoints[0].addresses[1] is \"fd00::1\": an IPv4 address belongs here; write \
             one, or give the other family; until then the first address is used",
        )],
    );
}

#[test]
fn an_endpoint_has_an_address() {
    assert_findings(
        START,
        &[(
            "addressType: IPv4\nendpoints: [{addresses: []}]\n",
            LEFT_OUT,
            "5:14: error: endpoints[0].addresses is missing or empty: an endpoint is an address; write \
             one, or delete the endpoint",
        )],
    );
}

#[test]
fn ports_have_different_names_which_are_dns_labels() {
    assert_findings(
        START,
        &[
            (
                "addressType: IPv4\nendpoints: []\nports: [{name: A, port: 1}]\n",
                LEFT_OUT,
                "6:16: error: ports[0].name is \"A\": a name has lower-case letters, digits and '-', and \
                 at most 63 of them; give it another name",
            ),
            (
                "addressType: IPv4\nendpoints: []\nports: [{name: \
                 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, port: 1}]\n",
                LEFT_OUT,
                "6:16: error: ports[0].name is \
                 \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": a name has \
                 lower-case letters, digits and '-', and at most 63 of them; give it another name",
            ),
            (
                "addressType: IPv4\nendpoints: []\nports: [{name: a, port: 1}, {name: a, port: 2}]\n",
                STAYS,
                "6:36: error: ports[1].name is \"a\" a second time: the ports of a slice have different \
                 names; give it another name; until then the first with a Service port's name and \
                 protocol is used",
            ),
            (
                "addressType: IPv4\nendpoints: []\nports: [{port: 1}, {port: 2}]\n",
                STAYS,
                "6:20: error: ports[1].name is \"\" a second time: the ports of a slice have different \
                 names; give it another name; until then the first with a Service port's name and \
                 protocol is used",
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
                "addressType: IPv4\nendpoints: []\nports: [{port: 65536}]\n",
                LEFT_OUT,
                "6:16: error: ports[0].port is 65536: a port is a number from 1 to 65535; write one of \
                 these numbers",
            ),
            (
                "addressType: IPv4\nendpoints: []\nports: [{port: 1, protocol: udp}]\n",
                LEFT_OUT,
                "6:29: error: ports[0].protocol is \"udp\": it is one of TCP, UDP, SCTP; write UDP",
            ),
            (
                "addressType: IPv4\nendpoints: []\nports: [{port: 1, appProtocol: a b}]\n",
                STAYS,
                "6:32: error: ports[0].appProtocol is \"a b\": it is a name of IANA's such as http, or \
                 one with a domain as in kubernetes.io/h2c; write one of these; what svc-lb does is the \
                 same for all",
            ),
        ],
    );
}

#[test]
fn names_are_those_that_something_can_have() {
    assert_findings(
        START,
        &[
            (
                "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], nodeName: Node_1}]\n",
                STAYS,
                "5:47: error: endpoints[0].nodeName is \"Node_1\": nothing can have that name; write \
                 another; until then it is compared as it stands",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], zone: \"a b\"}]\n",
                STAYS,
                "5:43: warning: endpoints[0].zone is \"a b\": no Node can be in that zone, which is a \
                 label of its; write that of the endpoint's Node",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], hostname: a.b}]\n",
                STAYS,
                "5:47: error: endpoints[0].hostname is \"a.b\": nothing can have that name; write \
                 another; until then it is compared as it stands",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], hints: {forZones: [{name: \"a \
                 b\"}]}}]\n",
                STAYS,
                "5:63: error: endpoints[0].hints.forZones[0].name is \"a b\": nothing can have that \
                 name; write another; until then it is compared as it stands",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], hints: {forNodes: [{name: \
                 N}]}}]\n",
                STAYS,
                "5:63: error: endpoints[0].hints.forNodes[0].name is \"N\": nothing can have that name; \
                 write another; until then it is compared as it stands",
            ),
        ],
    );
}

#[test]
fn hints_are_few_and_given_once() {
    assert_findings(
        START,
        &[
            (
                "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], hints: {forZones: [{name: a}, \
                 {name: a}]}}]\n",
                STAYS,
                "5:74: error: endpoints[0].hints.forZones[1].name is \"a\" a second time: once is \
                 enough; delete one of the two",
            ),
            (
                "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], hints: {forNodes: [{name: n0}, \
                 {name: n1}, {name: n2}, {name: n3}, {name: n4}, {name: n5}, {name: n6}, {name: n7}, \
                 {name: n8}]}}]\n",
                STAYS,
                "5:45: error: endpoints[0].hints.forNodes has 9 items: it may have 8; write fewer; until \
                 then all of them are read",
            ),
        ],
    );
}
