//! Pods.

use super::{LEFT_OUT, STAYS, assert_findings};

const START: &str = "kind: Pod\napiVersion: v1\nmetadata: {name: web}\n";

#[test]
fn addresses_are_those_of_hosts() {
    assert_findings(
        START,
        &[
            (
                "status: {podIP: web}\n",
                LEFT_OUT,
                "4:17: error: status.podIP is \"web\": that is not an IP address; write one, such as \
                 10.0.0.1 or fd00::1",
            ),
            (
                "status: {podIP: 127.0.0.1}\n",
                LEFT_OUT,
                "4:17: error: status.podIP is \"127.0.0.1\": it is a loopback address; write an ordinary \
                 unicast address",
            ),
            (
                "status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: \"fe80::1\"}]}\n",
                LEFT_OUT,
                "4:57: error: status.podIPs[1].ip is \"fe80::1\": it is a link-local address, which has \
                 a meaning on one link only; write an ordinary unicast address",
            ),
            (
                "status: {podIPs: [{ip: 10.0.0.01}]}\n",
                STAYS,
                "4:24: error: status.podIPs[0].ip is \"10.0.0.01\": programs differ in how they read an \
                 address in this form; svc-lb takes it for 10.0.0.1: write that",
            ),
        ],
    );
}

#[test]
fn a_pod_has_one_address_of_each_family() {
    assert_findings(
        START,
        &[(
            "status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}\n",
            STAYS,
            "4:40: error: status.podIPs[1].ip is a second IPv4 address: a Pod has one address of each \
             family; leave it out; svc-lb uses the first of each family",
        )],
    );
}

#[test]
fn a_node_has_a_name() {
    assert_findings(
        START,
        &[(
            "spec: {nodeName: N, containers: []}\n",
            STAYS,
            "4:18: error: spec.nodeName is \"N\": no Node can have that name; write another; until then \
             it is compared as it stands",
        )],
    );
}

#[test]
fn container_ports_are_in_range_and_of_a_protocol() {
    assert_findings(
        START,
        &[
            (
                "spec: {containers: [{name: a, ports: [{containerPort: 0}]}]}\n",
                LEFT_OUT,
                "4:55: error: spec.containers[0].ports[0].containerPort is missing or 0: a port is a \
                 number from 1 to 65535; write one of these numbers",
            ),
            (
                "spec: {containers: [{name: a, ports: [{containerPort: 65536}]}]}\n",
                LEFT_OUT,
                "4:55: error: spec.containers[0].ports[0].containerPort is 65536: a port is a number \
                 from 1 to 65535; write one of these numbers",
            ),
            (
                "spec: {containers: [{name: a, ports: [{containerPort: 1, protocol: tcp}]}]}\n",
                LEFT_OUT,
                "4:68: error: spec.containers[0].ports[0].protocol is \"tcp\": it is one of TCP, UDP, \
                 SCTP; write TCP",
            ),
            (
                "spec: {containers: [], initContainers: [{name: a, ports: [{containerPort: -1}]}]}\n",
                LEFT_OUT,
                "4:75: error: spec.initContainers[0].ports[0].containerPort is -1: a port is a number \
                 from 1 to 65535; write one of these numbers",
            ),
        ],
    );
}

#[test]
fn container_ports_have_different_short_names() {
    assert_findings(
        START,
        &[
            (
                "spec: {containers: [{name: a, ports: [{containerPort: 1, name: \"80\"}]}]}\n",
                LEFT_OUT,
                "4:64: error: spec.containers[0].ports[0].name is \"80\": a name has lower-case letters, \
                 digits and '-', at most 15 of them, at least one a letter; give it another name",
            ),
            (
                "spec: {containers: [{name: a, ports: [{containerPort: 1, name: sixteen-letters-}]}]}\n",
                LEFT_OUT,
                "4:64: error: spec.containers[0].ports[0].name is \"sixteen-letters-\": a name has \
                 lower-case letters, digits and '-', at most 15 of them, at least one a letter; give it \
                 another name",
            ),
            (
                "spec: {containers: [{name: a, ports: [{containerPort: 1, name: a}, {containerPort: 2, \
                 name: a}]}]}\n",
                STAYS,
                "4:93: error: spec.containers[0].ports[1].name is \"a\" a second time: the ports of a \
                 container have different names; give it another name; until then the first with a \
                 Service port's targetPort and protocol is used",
            ),
        ],
    );
}

#[test]
fn a_probe_has_one_means() {
    assert_findings(
        START,
        &[
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {periodSeconds: 1}}]}\n",
                STAYS,
                "4:72: error: spec.containers[0].readinessProbe does not say how to probe: a probe has \
                 one of httpGet, tcpSocket, exec and grpc; write one; until then the Pod's \
                 status.conditions count",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {tcpSocket: {port: 80}, httpGet: {port: 80}}}]}\n",
                STAYS,
                "4:72: error: spec.containers[0].readinessProbe has httpGet and tcpSocket: a probe has \
                 one of httpGet, tcpSocket, exec and grpc; write one; until then the first is run",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {exec: {command: [sh]}, grpc: {port: 80}}}]}\n",
                STAYS,
                "4:72: error: spec.containers[0].readinessProbe has exec and grpc: a probe has one of \
                 httpGet, tcpSocket, exec and grpc; write one; until then none is run\n\
                 4:89: warning: spec.containers[0].readinessProbe.exec has no effect: svc-lb does not \
                 run a command in a container; write httpGet or tcpSocket; until then the Pod's \
                 status.conditions say whether it is ready\n\
                 4:112: warning: spec.containers[0].readinessProbe.grpc has no effect: svc-lb does not \
                 ask gRPC servers; write httpGet or tcpSocket; until then the Pod's status.conditions \
                 say whether it is ready",
            ),
        ],
    );
}

#[test]
fn what_svc_lb_does_not_run_is_told() {
    assert_findings(
        START,
        &[
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {exec: {command: [ls]}}}]}\n",
                STAYS,
                "4:89: warning: spec.containers[0].readinessProbe.exec has no effect: svc-lb does not \
                 run a command in a container; write httpGet or tcpSocket; until then the Pod's \
                 status.conditions say whether it is ready",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {exec: {}}}]}\n",
                STAYS,
                "4:89: error: spec.containers[0].readinessProbe.exec.command is missing or empty: it is \
                 what the probe runs; write it\n\
                 4:89: warning: spec.containers[0].readinessProbe.exec has no effect: svc-lb does not \
                 run a command in a container; write httpGet or tcpSocket; until then the Pod's \
                 status.conditions say whether it is ready",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {grpc: {port: 80}}}]}\n",
                STAYS,
                "4:89: warning: spec.containers[0].readinessProbe.grpc has no effect: svc-lb does not \
                 ask gRPC servers; write httpGet or tcpSocket; until then the Pod's status.conditions \
                 say whether it is ready",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {grpc: {port: 0}}}]}\n",
                STAYS,
                "4:102: error: spec.containers[0].readinessProbe.grpc.port is missing or 0: a port is a \
                 number from 1 to 65535; write one of these numbers; until then it makes no difference\n\
                 4:89: warning: spec.containers[0].readinessProbe.grpc has no effect: svc-lb does not \
                 ask gRPC servers; write httpGet or tcpSocket; until then the Pod's status.conditions \
                 say whether it is ready",
            ),
        ],
    );
}

#[test]
fn a_probe_goes_to_a_port() {
    assert_findings(
        START,
        &[
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {tcpSocket: {port: 0}}}]}\n",
                STAYS,
                "4:107: error: spec.containers[0].readinessProbe.tcpSocket.port is missing or 0: a port \
                 is a number from 1 to 65535; write one of these numbers; until then no probe can \
                 succeed, and the Pod is not ready",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {tcpSocket: {port: 65536}}}]}\n",
                STAYS,
                "4:107: error: spec.containers[0].readinessProbe.tcpSocket.port is 65536: a port is a \
                 number from 1 to 65535; write one of these numbers; until then no probe can succeed, \
                 and the Pod is not ready",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {httpGet: {port: \"80\"}}}]}\n",
                STAYS,
                "4:105: error: spec.containers[0].readinessProbe.httpGet.port is \"80\": it is a number, \
                 without quotes, or the name of a container's port: lower-case letters, digits and '-', \
                 at most 15 of them, at least one a letter; write one of these; until then no probe can \
                 succeed, and the Pod is not ready",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {httpGet: {port: http}}}]}\n",
                STAYS,
                "4:105: warning: spec.containers[0].readinessProbe.httpGet.port is http: the container \
                 has no port of that name, so no probe can succeed, and the Pod is not ready; name one \
                 of its ports, or write a number",
            ),
        ],
    );
}

#[test]
fn a_probe_by_http_is_one() {
    assert_findings(
        START,
        &[
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {httpGet: {port: web, scheme: https}}}]}\n",
                STAYS,
                "4:118: error: spec.containers[0].readinessProbe.httpGet.scheme is \"https\": it is one \
                 of HTTP, HTTPS; write HTTPS; until then it is HTTP",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {httpGet: {port: web, scheme: FTP}}}]}\n",
                STAYS,
                "4:118: error: spec.containers[0].readinessProbe.httpGet.scheme is \"FTP\": it is one of \
                 HTTP, HTTPS; write one of these, or leave it out; until then it is HTTP",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {httpGet: {port: web, httpHeaders: [{name: \"a b\", value: c}]}}}]}\n",
                STAYS,
                "4:131: error: spec.containers[0].readinessProbe.httpGet.httpHeaders[0].name is \"a b\": \
                 such a name has letters, digits and '-'; write another",
            ),
        ],
    );
}

#[test]
fn times_and_thresholds_are_not_negative() {
    assert_findings(
        START,
        &[
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {tcpSocket: {port: web}, initialDelaySeconds: -1}}]}\n",
                STAYS,
                "4:134: error: spec.containers[0].readinessProbe.initialDelaySeconds is -1: it is not \
                 negative; write 1 or more; until then it is the default",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {tcpSocket: {port: web}, periodSeconds: -1}}]}\n",
                STAYS,
                "4:128: error: spec.containers[0].readinessProbe.periodSeconds is -1: it is not \
                 negative; write 1 or more; until then it is the default",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {tcpSocket: {port: web}, timeoutSeconds: -1}}]}\n",
                STAYS,
                "4:129: error: spec.containers[0].readinessProbe.timeoutSeconds is -1: it is not \
                 negative; write 1 or more; until then it is the default",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {tcpSocket: {port: web}, successThreshold: -1}}]}\n",
                STAYS,
                "4:131: error: spec.containers[0].readinessProbe.successThreshold is -1: it is not \
                 negative; write 1 or more; until then it is the default",
            ),
            (
                "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
                 {tcpSocket: {port: web}, failureThreshold: -1}}]}\n",
                STAYS,
                "4:131: error: spec.containers[0].readinessProbe.failureThreshold is -1: it is not \
                 negative; write 1 or more; until then it is the default",
            ),
        ],
    );
}

#[test]
fn readiness_is_not_about_ending_a_pod() {
    assert_findings(
        START,
        &[(
            "spec: {containers: [{name: a, ports: [{name: web, containerPort: 80}], readinessProbe: \
             {tcpSocket: {port: web}, terminationGracePeriodSeconds: 5}}]}\n",
            STAYS,
            "4:144: error: spec.containers[0].readinessProbe.terminationGracePeriodSeconds is given: a \
             Pod that is not ready is not ended; leave it out; until then it has no effect",
        )],
    );
}

#[test]
fn init_containers_are_not_probed_unless_they_stay() {
    assert_findings(
        START,
        &[(
            "spec: {containers: [], initContainers: [{name: a, readinessProbe: {tcpSocket: {port: \
             1}}}]}\n",
            STAYS,
            "4:51: error: spec.initContainers[0].readinessProbe is given: an init container has ended \
             when the Pod becomes ready, unless its restartPolicy is Always; leave it out",
        )],
    );
}
