//! `spec.ports` of a Service.

use super::{LEFT_OUT, STAYS, assert_findings};

const START: &str = "kind: Service\napiVersion: v1\nmetadata:\n  name: web\nspec:\n";

#[test]
fn a_service_has_ports() {
    assert_findings(
        START,
        &[
            (
                "  type: ClusterIP\n",
                LEFT_OUT,
                "5:1: error: spec.ports is missing or empty: a Service answers at its ports; write at \
                 least one",
            ),
            (
                "  type: NodePort\n  ports: []\n",
                LEFT_OUT,
                "7:3: error: spec.ports is missing or empty: a Service answers at its ports; write at \
                 least one",
            ),
        ],
    );
}

#[test]
fn the_numbers_of_ports_are_in_range() {
    assert_findings(
        START,
        &[
            (
                "  ports: [{port: 0}]\n",
                LEFT_OUT,
                "6:18: error: spec.ports[0].port is missing or 0: a port is a number from 1 to 65535; \
                 write one of these numbers",
            ),
            (
                "  ports: [{port: 65536}]\n",
                LEFT_OUT,
                "6:18: error: spec.ports[0].port is 65536: a port is a number from 1 to 65535; write one \
                 of these numbers",
            ),
            (
                "  ports: [{port: -1}]\n",
                LEFT_OUT,
                "6:18: error: spec.ports[0].port is -1: a port is a number from 1 to 65535; write one of \
                 these numbers",
            ),
            (
                "  ports: [{port: 80, targetPort: 70000}]\n",
                LEFT_OUT,
                "6:34: error: spec.ports[0].targetPort is 70000: a port is a number from 1 to 65535; \
                 write one of these numbers",
            ),
            (
                "  ports: [{port: 80, targetPort: -1}]\n",
                LEFT_OUT,
                "6:34: error: spec.ports[0].targetPort is -1: a port is a number from 1 to 65535; write \
                 one of these numbers",
            ),
            (
                "  type: NodePort\n  ports: [{port: 80, nodePort: 70000}]\n",
                LEFT_OUT,
                "7:32: error: spec.ports[0].nodePort is 70000: a port is a number from 1 to 65535; write \
                 one of these numbers",
            ),
        ],
    );
}

#[test]
fn the_names_of_ports_are_dns_labels() {
    assert_findings(
        START,
        &[
            (
                "  ports: [{port: 80, name: HTTP}]\n",
                LEFT_OUT,
                "6:28: error: spec.ports[0].name is \"HTTP\": a name has lower-case letters, digits and \
                 '-', and at most 63 of them; give it another name",
            ),
            (
                "  ports: [{port: 80, name: a.b}]\n",
                LEFT_OUT,
                "6:28: error: spec.ports[0].name is \"a.b\": a name has lower-case letters, digits and \
                 '-', and at most 63 of them; give it another name",
            ),
            (
                "  ports: [{port: 80, name: \
                 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}]\n",
                LEFT_OUT,
                "6:28: error: spec.ports[0].name is \
                 \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": a name has \
                 lower-case letters, digits and '-', and at most 63 of them; give it another name",
            ),
        ],
    );
}

#[test]
fn several_ports_have_different_names() {
    assert_findings(
        START,
        &[
            (
                "  ports: [{port: 80, name: a}, {port: 81}]\n",
                LEFT_OUT,
                "6:32: error: spec.ports[1] has no name: the ports of a Service that has several are \
                 told apart by their names; give each a name, such as http",
            ),
            (
                "  ports: [{port: 80, name: a}, {port: 81, name: a}]\n",
                LEFT_OUT,
                "6:49: error: spec.ports[1].name is \"a\" a second time: the ports of a Service have \
                 different names; give it another name",
            ),
        ],
    );
}

#[test]
fn a_port_is_one_number_and_protocol() {
    assert_findings(
        START,
        &[
            (
                "  ports: [{port: 80, name: a}, {port: 80, name: b}]\n",
                LEFT_OUT,
                "6:39: error: spec.ports[1].port is 80/TCP a second time: a port of a Service is one \
                 number and protocol; write another number, or delete one of the two",
            ),
            (
                "  ports:\n  - {name: a, port: 53, protocol: UDP}\n  - {name: b, port: 53, protocol: \
                 UDP}\n",
                LEFT_OUT,
                "8:21: error: spec.ports[1].port is 53/UDP a second time: a port of a Service is one \
                 number and protocol; write another number, or delete one of the two",
            ),
        ],
    );
}

#[test]
fn protocols_are_in_upper_case() {
    assert_findings(
        START,
        &[
            (
                "  ports: [{port: 80, protocol: tcp}]\n",
                LEFT_OUT,
                "6:32: error: spec.ports[0].protocol is \"tcp\": it is one of TCP, UDP, SCTP; write TCP",
            ),
            (
                "  ports: [{port: 80, protocol: ICMP}]\n",
                LEFT_OUT,
                "6:32: error: spec.ports[0].protocol is \"ICMP\": it is one of TCP, UDP, SCTP; write one \
                 of these, or leave it out",
            ),
        ],
    );
}

#[test]
fn a_target_port_is_a_number_or_a_name() {
    assert_findings(
        START,
        &[
            (
                "  ports: [{port: 80, targetPort: \"80\"}]\n",
                LEFT_OUT,
                "6:34: error: spec.ports[0].targetPort is \"80\": it is a number, without quotes, or the \
                 name of a container's port: lower-case letters, digits and '-', at most 15 of them, at \
                 least one a letter; write one of these",
            ),
            (
                "  ports: [{port: 80, targetPort: sixteen-letters-}]\n",
                LEFT_OUT,
                "6:34: error: spec.ports[0].targetPort is \"sixteen-letters-\": it is a number, without \
                 quotes, or the name of a container's port: lower-case letters, digits and '-', at most \
                 15 of them, at least one a letter; write one of these",
            ),
            (
                "  ports: [{port: 80, targetPort: Web}]\n",
                LEFT_OUT,
                "6:34: error: spec.ports[0].targetPort is \"Web\": it is a number, without quotes, or \
                 the name of a container's port: lower-case letters, digits and '-', at most 15 of them, \
                 at least one a letter; write one of these",
            ),
        ],
    );
}

#[test]
fn an_application_protocol_is_a_name() {
    assert_findings(
        START,
        &[
            (
                "  ports: [{port: 80, appProtocol: \"http 2\"}]\n",
                STAYS,
                "6:35: error: spec.ports[0].appProtocol is \"http 2\": it is a name of IANA's such as \
                 http, or one with a domain as in kubernetes.io/h2c; write one of these; what svc-lb \
                 does is the same for all",
            ),
            (
                "  ports: [{port: 80, appProtocol: kubernetes.io/}]\n",
                STAYS,
                "6:35: error: spec.ports[0].appProtocol is \"kubernetes.io/\": it is a name of IANA's \
                 such as http, or one with a domain as in kubernetes.io/h2c; write one of these; what \
                 svc-lb does is the same for all",
            ),
        ],
    );
}

#[test]
fn node_ports_are_for_services_that_have_them() {
    assert_findings(
        START,
        &[
            (
                "  ports: [{port: 80, nodePort: 30080}]\n",
                LEFT_OUT,
                "6:32: error: spec.ports[0].nodePort is 30080: a Service of type ClusterIP has no node \
                 ports; write type: NodePort, or leave it out",
            ),
            (
                "  clusterIP: None\n  ports: [{port: 80, nodePort: 30080}]\n",
                LEFT_OUT,
                "7:32: error: spec.ports[0].nodePort is 30080: a Service of type ClusterIP has no node \
                 ports; write type: NodePort, or leave it out",
            ),
        ],
    );
}

#[test]
fn a_node_port_belongs_to_one_port() {
    assert_findings(
        START,
        &[
            (
                "  type: NodePort\n  ports:\n  - {name: a, port: 1, nodePort: 30000}\n  - {name: b, \
                 port: 2, nodePort: 30000}\n",
                LEFT_OUT,
                "9:34: error: spec.ports[1].nodePort is 30000/TCP a second time: a node port belongs to \
                 one port of one Service; write another number, or delete one of the two",
            ),
            (
                "  type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 30000\n  \
                 ports: [{port: 1, nodePort: 30000}]\n",
                LEFT_OUT,
                "8:24: error: spec.healthCheckNodePort is 30000/TCP a second time: a node port belongs \
                 to one port of one Service; write another number, or delete one of the two",
            ),
        ],
    );
}

#[test]
fn a_load_balancer_does_not_lay_the_kubelet_open() {
    assert_findings(
        START,
        &[(
            "  type: LoadBalancer\n  ports: [{port: 10250}]\n",
            STAYS,
            "7:18: error: spec.ports[0].port is 10250: that is the kubelet's port, which a load balancer \
             must not lay open; write another; until then it is served",
        )],
    );
}
