//! Small manifests in, findings out.

use super::Parsed;
use crate::source::{digest::Digest, document::split, read_text};
use proptest::prelude::*;
use std::{fs, path::Path};

const SERVICE: &str = "kind: Service\napiVersion: v1\nmetadata:\n  name: web\nspec:\n";

/// The findings of a text, without the names of the file.
fn findings(text: &str) -> Vec<String> {
    let findings = read_text("x", text).findings;
    findings.iter().map(|finding| finding.to_string().replacen("x:", "", 1)).collect()
}

/// Asserts that a text has one finding, which starts at a place with a severity and holds a word.
#[track_caller]
fn assert_finding(text: &str, start: &str, word: &str) {
    let findings = findings(text);
    let [finding] = &findings[..] else { panic!("not one finding: {findings:#?}") };
    assert!(finding.starts_with(start) && finding.contains(word), "{finding}");
}

#[test]
fn a_good_document_has_no_findings() {
    let reading = read_text("x", &format!("{SERVICE}  ports: [{{port: 80}}]\n"));
    assert_eq!(reading.findings, []);
    let name = reading.objects.services.keys().next().expect("a Service");
    assert_eq!(name.to_string(), "default/web");
}

#[test]
fn a_finding_tells_the_place_what_why_and_the_mend() {
    assert_eq!(
        findings(&format!("{SERVICE}  ports:\n    - name: http\n      port: 99999\n")),
        ["8:13: error: spec.ports[0].port is 99999: a port is a number from 1 to 65535; \
          write one of these numbers"]
    );
}

#[test]
fn a_service_without_a_spec_is_refused() {
    assert_finding("kind: Service\napiVersion: v1\nmetadata: {name: web}\n", "1:1: error", "spec is missing");
}

#[test]
fn an_error_that_is_tolerated_leaves_the_object_in_use() {
    let text = format!("{SERVICE}  clusterIP: 10.96.0.010\n  ports: [{{port: 80}}]\n");
    assert_finding(&text, "6:14: error", "10.96.0.10: write that");
    assert_eq!(read_text("x", &text).objects.services.len(), 1);
    let text = text.replace("80", "0");
    assert!(read_text("x", &text).objects.services.is_empty());
}

#[test]
fn a_type_error_names_its_field() {
    let text = format!("{SERVICE}  ports:\n    - port: eighty\n");
    assert_finding(&text, "7:13: error", "spec.ports[0].port cannot be read");
}

#[test]
fn a_misspelt_field_is_a_warning() {
    let text = format!("{SERVICE}  selectors:\n    app: web\n  ports:\n    - port: 80\n      nodeport: 5\n");
    let findings = findings(&text);
    assert_eq!(
        findings,
        [
            "6:3: warning: spec.selectors is no field that svc-lb knows: so it has no effect; \
             write selector, if that is meant",
            "10:17: warning: spec.ports[0].nodeport is no field that svc-lb knows: so it has no effect; \
             write nodePort, if that is meant",
        ]
    );
    assert_eq!(read_text("x", &text).objects.services.len(), 1);
}

#[test]
fn a_syntax_error_has_its_place_in_the_file_and_takes_no_other_document_along() {
    let good = format!("{SERVICE}  ports: [{{port: 80}}]\n");
    let text = format!("{good}---\na: [1\n---\n{}", good.replace("name: web", "name: other"));
    assert_finding(&text, "9:1: error", "this document is not YAML");
    assert_eq!(read_text("x", &text).objects.services.len(), 2);
    assert_finding("a: 1\nb: 2\na: 3\n", "1:1: error", "duplicate entry");
}

#[test]
fn lists_hold_objects() {
    let text = "kind: ServiceList\napiVersion: v1\nitems:\n- metadata: {name: a}\n  spec: {ports: [{port: 1}]}\n\
                - metadata: {name: b}\n  spec: {ports: [{port: 0}]}\n";
    assert_finding(text, "7:25: error", "spec.ports[0].port is missing or 0");
    assert_eq!(read_text("x", text).objects.services.len(), 1);
    let text = "kind: List\napiVersion: v1\nitems:\n- {kind: Pod, apiVersion: v1, metadata: {name: a}}\n- {kind: Node}\n";
    assert_finding(text, "5:3: error", "apiVersion is missing");
    assert_eq!(read_text("x", text).objects.pods.len(), 1);
}

#[test]
fn json_is_read_and_has_places() {
    let text = "{\n\t\"kind\": \"Pod\", \"apiVersion\": \"v1\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"status\": \
                {\"podIP\": \"x\"}\n}\n";
    assert_finding(text, "4:22: error", "IP address");
    let escaped = text.replace("\"a\"", "\"a\", \"annotations\": {\"b\": \"\\ud83d\\ude00\"}");
    assert_finding(&escaped, "", "IP address");
}

#[test]
fn other_kinds_are_left_alone() {
    let text = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\n";
    assert_finding(text, "1:7: note", "Deployment web (apps/v1) is not read");
    assert_eq!(findings("# nothing\n---\n---\n"), [] as [String; 0]);
}

#[test]
fn what_is_no_object_is_an_error() {
    assert_finding("just text\n", "1:1: error", "kind is missing");
    assert_finding("kind: Pod\napiVersion: v1\n", "1:1: error", "metadata.name is missing");
    assert_finding("kind: Pod\napiVersion: v1\nmetadata: {name: A}\n", "3:18: error", "\"A\"");
}

#[test]
fn what_no_proxy_serves_is_told() {
    for spec in ["  type: ExternalName\n  externalName: a.b\n", "  clusterIP: None\n"] {
        assert_finding(&format!("{SERVICE}{spec}"), "6:", "note");
    }
}

/// Asserts that the documents of a text hold the same the fast way as the way for all. Returns how many there are,
/// and how many went the fast way.
fn assert_ways_agree(text: &str) -> (usize, usize) {
    let parts = split(text);
    let plain = parts.iter().filter(|part| {
        let digest = Digest::of(part.text.as_bytes());
        let Some(plain) = Parsed::plain(part.text, digest) else { return false };
        let full = Parsed::full(part.text, digest);
        assert_eq!(format!("{:?}", plain.items), format!("{:?}", full.items), "{}", part.text);
        assert_eq!(plain.problems, full.problems, "{}", part.text);
        assert!(!full.obscure && full.refused.is_empty(), "{}", part.text);
        true
    });
    (parts.len(), plain.count())
}

#[test]
fn every_example_is_read_the_same_both_ways() {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")];
    let mut plain = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                plain += assert_ways_agree(&fs::read_to_string(path).expect("a text")).1;
            }
        }
    }
    assert!(plain > 0);
}

#[test]
fn what_kubectl_prints_goes_the_fast_way() {
    let text = "---
apiVersion: v1
kind: Service
metadata:
  annotations:
    meta.helm.sh/release-name: web
  creationTimestamp: \"2026-03-02T08:15:00Z\"
  labels:
    app.kubernetes.io/instance: web
  name: web
  namespace: shop
  uid: 00000000-5c1e-4f3a-8b2d-000000000000
spec:
  clusterIP: 10.96.0.10
  clusterIPs:
  - 10.96.0.10
  ports:
  - name: http
    port: 80
    protocol: TCP
    targetPort: http
  selector:
    app.kubernetes.io/instance: web
  sessionAffinity: None
  type: ClusterIP
status:
  loadBalancer: {}
---
addressType: IPv4
apiVersion: discovery.k8s.io/v1
endpoints:
- addresses:
  - 10.128.0.1
  conditions:
    ready: true
    serving: true
    terminating: false
  nodeName: worker-0
  targetRef:
    kind: Pod
    name: web-6d4cf56db6-00000
    namespace: shop
    uid: 3c6ef372-9c1e-4f3a-8b2d-000000000000
  zone: zone-0
kind: EndpointSlice
metadata:
  labels:
    kubernetes.io/service-name: web
  name: web-abcde
  namespace: shop
ports:
- name: http
  port: 8080
  protocol: TCP
---
apiVersion: v1
kind: Service
metadata:
  name: elsewhere
spec:
  externalName: example.com
  type: ExternalName
";
    assert_eq!(assert_ways_agree(text), (3, 3));
}

proptest! {
    #[test]
    fn a_changed_manifest_is_read_the_same_both_ways(
        line in 0usize..20, change in 0usize..4,
        other in prop::sample::select(&[
            "name: b", "  name: 1", "  name: b", "  port: 80", "    port: x", "  - port: 443", "  type: None",
            "  clusterIP: None", "  type: LoadBalancer", "    nodePort: 30000", "    nodePort: 1", "    b: c", "b:",
            "  ports: {}", "  selector: []", "  externalIPs:", "  - 10.0.0.1", "  - \"\"", "    svc-lb.io/weight: 1",
            "    targetPort: 70000", "    targetPort: web", "    targetPort: \"80\"", "  labels: null", "kind: Pod",
            "  creationTimestamp: 2026-03-02T08:15:00Z", "  creationTimestamp: now", "apiVersion: v2", "  clusterIP: ",
        ]),
    ) {
        let text = format!("{SERVICE}  type: NodePort\n  selector:\n    app: a\n  ports:\n  - name: a\n    port: 80\n");
        let mut lines: Vec<_> = text.lines().collect();
        let line = line % lines.len();
        match change {
            0 => lines.insert(line, other),
            1 => lines[line] = other,
            2 => drop(lines.remove(line)),
            _ => lines.insert(line, lines[line]),
        }
        assert_ways_agree(&lines.join("\n"));
    }

    #[test]
    fn a_damaged_manifest_never_panics(
        start in 0usize..300, length in 0usize..20, noise in "[-:\\[\\]{}&*!|>'\"#a1 \t\n]{0,10}",
    ) {
        let mut text = format!(
            "{SERVICE}  type: NodePort\n  selector: {{app: a}}\n  ports:\n  - {{name: a, port: 80, targetPort: b}}\n\
             ---\nkind: Pod\napiVersion: v1\nmetadata:\n  name: a\nstatus:\n  podIPs: [{{ip: 10.0.0.1}}]\n"
        );
        let start = start.min(text.len());
        let end = (start + length).min(text.len());
        text.replace_range(start..end, &noise);
        read_text("x", &text);
    }
}
