//! `svc-lb check` as a process, without privileges: what whoever writes manifests sees of it.

use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

/// A directory with manifests.
fn manifests(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("a file");
    }
    directory
}

/// The exit code and the output of `svc-lb check` with some flags, for a directory.
fn check(directory: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_svc-lb"));
    let output = command.current_dir(directory).arg("check").args(flags).arg(".").output();
    let output = output.expect("svc-lb check runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

/// Asserts the whole output of `svc-lb check` for one file, and the exit code.
#[track_caller]
fn assert_check(text: &str, flags: &[&str], code: i32, expected: &[&str]) {
    let directory = manifests(&[("a.yaml", text)]);
    let (exit, output) = check(directory.path(), flags);
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
    assert_eq!(exit, Some(code));
}

/// A Service of eight lines, with endpoints.
fn service(name: &str, spec: &str) -> String {
    format!(
        "---
kind: Service
apiVersion: v1
metadata: {{name: {name}}}
spec: {{{spec}}}
---
{{kind: Endpoints, apiVersion: v1, metadata: {{name: {name}}}, subsets: [{{addresses: [{{ip: 10.0.0.1}}], \
         ports: [{{port: 80}}]}}]}}

"
    )
}

#[test]
fn good_manifests_pass() {
    assert_check(
        &service("web", "type: NodePort, ports: [{port: 80, nodePort: 30080}]"),
        &[],
        0,
        &["1 service: 1 ClusterIP frontend, 1 node port, 1 endpoint; no errors, no warnings, no notes"],
    );
}

#[test]
fn a_mistake_is_an_error_whether_the_object_is_left_out_or_not() {
    assert_check(
        &(service("left-out", "ports: [{port: 99999}]")
            + &service("stays", "loadBalancerClass: a, ports: [{port: 80}]")),
        &[],
        1,
        &[
            "./a.yaml:5:23: error: spec.ports[0].port is 99999: a port is a number from 1 to 65535; write one of \
             these numbers",
            "./a.yaml:13:27: error: spec.loadBalancerClass is given: only Services of type LoadBalancer have it; \
             leave it out; until then it has no effect",
            "1 service: 1 ClusterIP frontend, no node ports, 1 endpoint; 2 errors, no warnings, no notes",
        ],
    );
}

#[test]
fn what_has_no_effect_is_a_warning_and_passes() {
    assert_check(
        &service("web", "ports: [{port: 80}], nodePorts: [1], sessionAffinityConfig: {}"),
        &[],
        0,
        &[
            "./a.yaml:5:29: warning: spec.nodePorts is no field that svc-lb knows: so it has no effect; check how \
             it is spelt and indented",
            "./a.yaml:5:45: warning: spec.sessionAffinityConfig has no effect: it is about spec.sessionAffinity, \
             which is not ClientIP; write sessionAffinity: ClientIP, or leave it out",
            "1 service: 1 ClusterIP frontend, no node ports, 1 endpoint; no errors, 2 warnings, no notes",
        ],
    );
}

#[test]
fn a_cluster_ip_is_that_of_one_service_and_of_the_range() {
    let text = service("a", "clusterIP: 10.96.0.1, ports: [{port: 80}]")
        + &service("b", "clusterIP: 10.96.0.1, ports: [{port: 80}]")
        + &service("c", "clusterIP: 10.1.0.1, ports: [{port: 80}]");
    assert_check(
        &text,
        &[],
        1,
        &[
            "./a.yaml:13:19: error: the ClusterIP 10.96.0.1 is taken: it is that of default/a, which is older, or of \
             one age and first by name; give another, or leave it out to get one",
            "./a.yaml:21:19: warning: spec.clusterIP is 10.1.0.1: that is no address of the service range \
             10.96.0.0/12; it is served all the same; give the cluster's range by --service-cluster-ip-range",
            "3 services: 3 ClusterIP frontends, no node ports, 3 endpoints; 1 error, 1 warning, no notes",
        ],
    );
    let (_, output) =
        check(manifests(&[("a.yaml", &text)]).path(), &["--service-cluster-ip-range", "10.0.0.0/8"]);
    assert!(!output.contains("no address of the service range"), "{output}");
    let outside = service("c", "clusterIP: 10.1.0.1, ports: [{port: 80}]");
    let (code, output) =
        check(manifests(&[("a.yaml", &outside)]).path(), &["--service-cluster-ip-range", "10.96.0.0/16"]);
    assert!(code == Some(1) && output.contains("error: spec.clusterIP is 10.1.0.1"), "{output}");
}

#[test]
fn a_node_port_is_that_of_one_service_and_of_the_range() {
    let text = service("a", "type: NodePort, ports: [{port: 80, nodePort: 30080}]")
        + &service("b", "type: NodePort, ports: [{port: 80, nodePort: 30080}]")
        + &service("c", "type: NodePort, ports: [{port: 80, nodePort: 8080}]");
    assert_check(
        &text,
        &[],
        1,
        &[
            "./a.yaml:13:53: error: the node port 30080/TCP is taken: it is that of default/a, which is older, or of \
             one age and first by name; give another, or leave it out to get one",
            "./a.yaml:21:53: error: spec.ports[0].nodePort is 8080: node ports are from 30000 to 32767; write one of \
             these, or give another --service-node-port-range; until then it is not served",
            "3 services: 3 ClusterIP frontends, 2 node ports, 3 endpoints; 2 errors, no warnings, no notes",
        ],
    );
    let (_, output) =
        check(manifests(&[("a.yaml", &text)]).path(), &["--service-node-port-range", "8000-31000"]);
    assert!(!output.contains("node ports are from"), "{output}");
}

#[test]
fn both_families_take_a_range_of_each() {
    let text = service("a", "ipFamilyPolicy: RequireDualStack, clusterIP: 10.96.0.1, ports: [{port: 80}]");
    assert_check(
        &text,
        &[],
        1,
        &[
            "./a.yaml:5:24: error: spec.ipFamilyPolicy is RequireDualStack: there is no IPv6 range to give a \
             ClusterIP from; give one by --service-cluster-ip-range; until then it is served in IPv4 only",
            "1 service: 1 ClusterIP frontend, no node ports, 1 endpoint; 1 error, no warnings, no notes",
        ],
    );
    assert_check(
        &text,
        &["--service-cluster-ip-range", "10.96.0.0/12,fd00::/108"],
        0,
        &["1 service: 2 ClusterIP frontends, no node ports, 1 endpoint; no errors, no warnings, no notes"],
    );
}

#[test]
fn a_probe_that_is_not_run_is_a_warning() {
    let pod = |probe| {
        format!(
            "kind: Pod\napiVersion: v1\nmetadata: {{name: a}}\nspec:\n  containers:\n  - name: web\n    \
             readinessProbe: {{{probe}}}\n"
        )
    };
    let summary = "no services: no ClusterIP frontends, no node ports, no endpoints;";
    assert_check(
        &pod("exec: {command: [ls]}"),
        &[],
        0,
        &[
            "./a.yaml:7:22: warning: spec.containers[0].readinessProbe.exec has no effect: svc-lb does not run a \
             command in a container; write httpGet or tcpSocket; until then the Pod's status.conditions say whether \
             it is ready",
            &format!("{summary} no errors, 1 warning, no notes"),
        ],
    );
    assert_check(
        &pod("tcpSocket: {port: web}, periodSeconds: -1"),
        &[],
        1,
        &[
            "./a.yaml:7:40: warning: spec.containers[0].readinessProbe.tcpSocket.port is web: the container has no \
             port of that name, so no probe can succeed, and the Pod is not ready; name one of its ports, or write a \
             number",
            "./a.yaml:7:61: error: spec.containers[0].readinessProbe.periodSeconds is -1: it is not negative; write 1 \
             or more; until then it is the default",
            &format!("{summary} 1 error, 1 warning, no notes"),
        ],
    );
}

#[test]
fn an_object_is_in_one_file_only() {
    let directory = manifests(&[
        ("a.yaml", &service("web", "ports: [{port: 80}]")),
        (
            "b.json",
            "{\n\"kind\": \"Service\", \"apiVersion\": \"v1\",\n\"metadata\": {\"name\": \"web\"},\n\
             \"spec\": {\"ports\": [{\"port\": 81}]}\n}\n",
        ),
    ]);
    let (exit, output) = check(directory.path(), &[]);
    assert_eq!(
        output.lines().next(),
        Some(
            "./b.json:3:22: error: Service default/web is here a second time: the first one is taken, which is at \
             ./a.yaml:4; delete one of the two, or give it another name"
        )
    );
    assert_eq!(exit, Some(1));
}

#[test]
fn a_document_that_is_no_yaml_takes_no_other_along() {
    assert_check(
        &("a: [1\n".to_owned() + &service("web", "ports: [{port: 0}]")),
        &[],
        1,
        &[
            "./a.yaml:2:1: error: this document is not YAML: did not find expected ',' or ']', while parsing a \
             flow sequence at line 1 column 4; mend it here or just above; the other documents of the file are read",
            "./a.yaml:6:23: error: spec.ports[0].port is missing or 0: a port is a number from 1 to 65535; write one \
             of these numbers",
            "no services: no ClusterIP frontends, no node ports, no endpoints; 2 errors, no warnings, no notes",
        ],
    );
}
