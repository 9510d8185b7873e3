//! The types, addresses and families of a Service.

use super::{LEFT_OUT, STAYS, assert_findings};

const START: &str = "kind: Service\napiVersion: v1\nmetadata:\n  name: web\nspec:\n  ports: [{port: 80}]\n";

#[test]
fn a_service_has_one_of_four_types() {
    assert_findings(
        START,
        &[
            (
                "  type: NodePorts\n",
                LEFT_OUT,
                "7:9: error: spec.type is \"NodePorts\": it is one of ClusterIP, NodePort, LoadBalancer, \
                 ExternalName; write one of these, or leave it out",
            ),
            (
                "  type: clusterip\n",
                LEFT_OUT,
                "7:9: error: spec.type is \"clusterip\": it is one of ClusterIP, NodePort, LoadBalancer, \
                 ExternalName; write ClusterIP",
            ),
        ],
    );
}

#[test]
fn an_external_name_is_a_name_and_nothing_else() {
    assert_findings(
        START,
        &[
            (
                "  type: ExternalName\n",
                STAYS,
                "5:1: error: spec.externalName is missing: a Service of type ExternalName stands for a \
                 name in the DNS; write the name, such as db.example.org\n\
                 7:9: note: the Service is of type ExternalName: it is a name in the DNS, without an \
                 address; there is nothing for svc-lb to serve",
            ),
            (
                "  type: ExternalName\n  externalName: Not a name\n",
                STAYS,
                "8:17: error: spec.externalName is \"Not a name\": a name in the DNS has lower-case \
                 letters, digits, '-' and '.', and at most 253 of them; write the name, such as \
                 db.example.org\n\
                 7:9: note: the Service is of type ExternalName: it is a name in the DNS, without an \
                 address; there is nothing for svc-lb to serve",
            ),
            (
                "  type: ExternalName\n  externalName: a.b.\n  clusterIP: 10.96.0.1\n  clusterIPs: \
                 [10.96.0.1]\n  ipFamilies: [IPv4]\n  ipFamilyPolicy: SingleStack\n",
                STAYS,
                "9:14: error: spec.clusterIP is given: a Service of type ExternalName has no address; \
                 leave it out; until then it has no effect\n\
                 10:3: error: spec.clusterIPs is given: a Service of type ExternalName has no address; \
                 leave it out; until then it has no effect\n\
                 11:3: error: spec.ipFamilies is given: a Service of type ExternalName has no address; \
                 leave it out; until then it has no effect\n\
                 12:19: error: spec.ipFamilyPolicy is given: a Service of type ExternalName has no \
                 address; leave it out; until then it has no effect\n\
                 7:9: note: the Service is of type ExternalName: it is a name in the DNS, without an \
                 address; there is nothing for svc-lb to serve",
            ),
        ],
    );
}

#[test]
fn a_headless_service_is_reached_by_its_name_only() {
    assert_findings(
        START,
        &[
            (
                "  type: NodePort\n  clusterIP: None\n",
                LEFT_OUT,
                "8:14: error: spec.clusterIP is None: a Service of type NodePort has an address; leave \
                 it out, or write type: ClusterIP",
            ),
            (
                "  type: LoadBalancer\n  clusterIP: None\n  clusterIPs: [None]\n",
                LEFT_OUT,
                "9:16: error: spec.clusterIPs[0] is None: a Service of type LoadBalancer has an address; \
                 leave it out, or write type: ClusterIP",
            ),
        ],
    );
}

#[test]
fn no_address_stands_beside_none() {
    assert_findings(
        START,
        &[
            (
                "  clusterIP: None\n  clusterIPs: [None, 10.96.0.1]\n",
                LEFT_OUT,
                "8:16: error: spec.clusterIPs[0] is None: None stands for no address at all, beside no \
                 other; write None alone, or addresses\n\
                 8:22: error: spec.clusterIPs[1] is 10.96.0.1: None stands for no address at all, beside \
                 no other; write None alone, or addresses",
            ),
            (
                "  clusterIP: 10.96.0.1\n  clusterIPs: [10.96.0.1, None]\n",
                LEFT_OUT,
                "8:16: error: spec.clusterIPs[0] is 10.96.0.1: None stands for no address at all, beside \
                 no other; write None alone, or addresses\n\
                 8:27: error: spec.clusterIPs[1] is None: None stands for no address at all, beside no \
                 other; write None alone, or addresses",
            ),
        ],
    );
}

#[test]
fn a_cluster_ip_is_an_address_of_a_host() {
    assert_findings(
        START,
        &[
            (
                "  clusterIP: 10.96.0.256\n",
                LEFT_OUT,
                "7:14: error: spec.clusterIP is \"10.96.0.256\": that is not an IP address; write one, \
                 such as 10.0.0.1 or fd00::1",
            ),
            (
                "  clusterIP: 127.0.0.1\n",
                LEFT_OUT,
                "7:14: error: spec.clusterIP is \"127.0.0.1\": it is a loopback address; write an \
                 ordinary unicast address",
            ),
            (
                "  clusterIP: web\n",
                LEFT_OUT,
                "7:14: error: spec.clusterIP is \"web\": that is not an IP address; write one, such as \
                 10.0.0.1 or fd00::1",
            ),
            (
                "  clusterIP: fe80::1\n",
                LEFT_OUT,
                "7:14: error: spec.clusterIP is \"fe80::1\": it is a link-local address, which has a \
                 meaning on one link only; write an ordinary unicast address",
            ),
            (
                "  clusterIP: \"::\"\n",
                LEFT_OUT,
                "7:14: error: spec.clusterIP is \"::\": it is the unspecified address; write an ordinary \
                 unicast address",
            ),
            (
                "  clusterIP: 224.0.0.1\n",
                LEFT_OUT,
                "7:14: error: spec.clusterIP is \"224.0.0.1\": it is a multicast address; write an \
                 ordinary unicast address",
            ),
            (
                "  clusterIP: 10.96.0.1/32\n",
                LEFT_OUT,
                "7:14: error: spec.clusterIP is \"10.96.0.1/32\": that is not an IP address; write one, \
                 such as 10.0.0.1 or fd00::1",
            ),
        ],
    );
}

#[test]
fn an_address_has_one_spelling() {
    assert_findings(
        START,
        &[
            (
                "  clusterIP: 10.96.0.010\n",
                STAYS,
                "7:14: error: spec.clusterIP is \"10.96.0.010\": programs differ in how they read an \
                 address in this form; svc-lb takes it for 10.96.0.10: write that",
            ),
            (
                "  clusterIP: \"::ffff:10.96.0.10\"\n",
                STAYS,
                "7:14: error: spec.clusterIP is \"::ffff:10.96.0.10\": programs differ in how they read \
                 an address in this form; svc-lb takes it for 10.96.0.10: write that",
            ),
        ],
    );
}

#[test]
fn the_two_fields_of_cluster_ips_agree() {
    assert_findings(
        START,
        &[
            (
                "  clusterIP: 10.96.0.1\n  clusterIPs: [10.96.0.2]\n",
                LEFT_OUT,
                "7:14: error: spec.clusterIP is 10.96.0.1: it is the first of spec.clusterIPs, which is \
                 another; leave out one of the two fields",
            ),
            (
                "  clusterIPs: [10.96.0.1]\n",
                STAYS,
                "7:3: error: spec.clusterIPs is given without spec.clusterIP: spec.clusterIP is the \
                 first of spec.clusterIPs; write clusterIP: 10.96.0.1, too; svc-lb takes it for that",
            ),
        ],
    );
}

#[test]
fn there_is_one_cluster_ip_of_each_family() {
    assert_findings(
        START,
        &[
            (
                "  ipFamilyPolicy: PreferDualStack\n  clusterIP: 10.96.0.1\n  clusterIPs: [10.96.0.1, \
                 10.96.0.2]\n",
                LEFT_OUT,
                "9:27: error: spec.clusterIPs[1] is IPv4 a second time: a Service has one ClusterIP of \
                 each family; leave it out",
            ),
            (
                "  ipFamilyPolicy: PreferDualStack\n  clusterIP: 10.96.0.1\n  clusterIPs: [10.96.0.1, \
                 \"fd00::1\", \"fd00::2\"]\n",
                LEFT_OUT,
                "9:38: error: spec.clusterIPs[2] is IPv6 a second time: a Service has one ClusterIP of \
                 each family; leave it out",
            ),
        ],
    );
}

#[test]
fn families_are_known_and_named_once() {
    assert_findings(
        START,
        &[
            (
                "  ipFamilies: [IPV4]\n",
                LEFT_OUT,
                "7:16: error: spec.ipFamilies[0] is \"IPV4\": it is one of IPv4, IPv6; write IPv4",
            ),
            (
                "  ipFamilies: [IPv5]\n",
                LEFT_OUT,
                "7:16: error: spec.ipFamilies[0] is \"IPv5\": it is one of IPv4, IPv6; write one of \
                 these, or leave it out",
            ),
            (
                "  ipFamilyPolicy: PreferDualStack\n  ipFamilies: [IPv4, IPv4]\n",
                LEFT_OUT,
                "8:22: error: spec.ipFamilies[1] is IPv4 a second time: it names each family once; leave \
                 it out",
            ),
            (
                "  ipFamilyPolicy: PreferDualStack\n  ipFamilies: [IPv4, IPv6, IPv4]\n",
                LEFT_OUT,
                "8:28: error: spec.ipFamilies[2] is IPv4 a second time: it names each family once; leave \
                 it out",
            ),
        ],
    );
}

#[test]
fn cluster_ips_are_of_the_named_families() {
    assert_findings(
        START,
        &[
            (
                "  clusterIP: fd00::1\n  ipFamilies: [IPv4]\n",
                LEFT_OUT,
                "7:14: error: spec.clusterIP is \"fd00::1\": an IPv4 address belongs here; write one, or \
                 give the other family",
            ),
            (
                "  ipFamilyPolicy: RequireDualStack\n  clusterIP: 10.96.0.1\n  clusterIPs: [10.96.0.1, \
                 \"fd00::1\"]\n  ipFamilies: [IPv6, IPv4]\n",
                LEFT_OUT,
                "9:16: error: spec.clusterIPs[0] is \"10.96.0.1\": an IPv6 address belongs here; write \
                 one, or give the other family\n\
                 9:27: error: spec.clusterIPs[1] is \"fd00::1\": an IPv4 address belongs here; write \
                 one, or give the other family",
            ),
        ],
    );
}

#[test]
fn the_family_policy_allows_what_is_named() {
    assert_findings(
        START,
        &[
            (
                "  ipFamilyPolicy: DualStack\n",
                LEFT_OUT,
                "7:19: error: spec.ipFamilyPolicy is \"DualStack\": it is one of SingleStack, \
                 PreferDualStack, RequireDualStack; write one of these, or leave it out",
            ),
            (
                "  ipFamilyPolicy: SingleStack\n  ipFamilies: [IPv4, IPv6]\n",
                LEFT_OUT,
                "7:19: error: spec.ipFamilyPolicy is SingleStack: the Service names two families; write \
                 PreferDualStack, or name one family only",
            ),
            (
                "  ipFamilyPolicy: SingleStack\n  clusterIP: 10.96.0.1\n  clusterIPs: [10.96.0.1, \
                 \"fd00::1\"]\n",
                LEFT_OUT,
                "7:19: error: spec.ipFamilyPolicy is SingleStack: the Service names two families; write \
                 PreferDualStack, or name one family only",
            ),
            (
                "  ipFamilies: [IPv4, IPv6]\n",
                STAYS,
                "7:22: error: the Service names two families, and no spec.ipFamilyPolicy: that means \
                 SingleStack, which allows one; write ipFamilyPolicy: PreferDualStack; until then the \
                 Service is served in both",
            ),
            (
                "  clusterIP: 10.96.0.1\n  clusterIPs: [10.96.0.1, \"fd00::1\"]\n",
                STAYS,
                "8:27: error: the Service names two families, and no spec.ipFamilyPolicy: that means \
                 SingleStack, which allows one; write ipFamilyPolicy: PreferDualStack; until then the \
                 Service is served in both",
            ),
            (
                "  clusterIP: None\n  selector: {app: web}\n  ipFamilies: [IPv4, IPv6]\n",
                STAYS,
                "9:22: error: the Service names two families, and no spec.ipFamilyPolicy: that means \
                 SingleStack, which allows one; write ipFamilyPolicy: PreferDualStack; until then the \
                 Service is served in both\n\
                 7:14: note: the Service is headless: it has no address; its name leads straight to the \
                 endpoints; there is nothing for svc-lb to serve",
            ),
        ],
    );
}

#[test]
fn external_ips_are_addresses_of_hosts() {
    assert_findings(
        START,
        &[
            (
                "  externalIPs: [192.0.2.1, 192.0.2]\n",
                STAYS,
                "7:28: error: spec.externalIPs[1] is \"192.0.2\": that is not an IP address; write one, \
                 such as 10.0.0.1 or fd00::1; until then nobody answers there",
            ),
            (
                "  externalIPs: [0.0.0.0]\n",
                STAYS,
                "7:17: error: spec.externalIPs[0] is \"0.0.0.0\": it is the unspecified address; write \
                 an ordinary unicast address; until then nobody answers there",
            ),
            (
                "  externalIPs: [127.0.0.1]\n",
                STAYS,
                "7:17: error: spec.externalIPs[0] is \"127.0.0.1\": it is a loopback address; write an \
                 ordinary unicast address; until then nobody answers there",
            ),
            (
                "  externalIPs: [169.254.1.1]\n",
                STAYS,
                "7:17: error: spec.externalIPs[0] is \"169.254.1.1\": it is a link-local address, which \
                 has a meaning on one link only; write an ordinary unicast address; until then nobody \
                 answers there",
            ),
            (
                "  externalIPs: [\"ff02::1\"]\n",
                STAYS,
                "7:17: error: spec.externalIPs[0] is \"ff02::1\": it is a multicast address; write an \
                 ordinary unicast address; until then nobody answers there",
            ),
            (
                "  externalIPs: [192.0.2.01]\n",
                STAYS,
                "7:17: error: spec.externalIPs[0] is \"192.0.2.01\": programs differ in how they read an \
                 address in this form; svc-lb takes it for 192.0.2.1: write that",
            ),
        ],
    );
}

#[test]
fn a_selector_is_of_labels() {
    assert_findings(
        START,
        &[
            (
                "  selector: {\"an app\": web}\n",
                STAYS,
                "7:24: error: \"an app\" is a key of spec.selector: a key is a name of letters, digits, \
                 '-', '_' and '.', at most 63 of them, maybe with a DNS name and '/' before it; write \
                 another; until then this one is read as it stands",
            ),
            (
                "  selector: {app: \"a b\"}\n",
                STAYS,
                "7:19: error: spec.selector.app is \"a b\": a label's value has letters, digits, '-', \
                 '_' and '.', at most 63 of them, and starts and ends with a letter or a digit; write \
                 another; until then this one is read as it stands",
            ),
        ],
    );
}
