//! How long lists and texts may be.

use super::{STAYS, assert_findings};

/// Items of a list, made from their indexes.
fn items(number: usize, item: impl Fn(usize) -> String) -> String {
    (0..number).map(item).collect::<Vec<_>>().join(", ")
}

fn slice(endpoints: &str, ports: &str) -> String {
    format!(
        "kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n\
         metadata: {{name: a, labels: {{kubernetes.io/service-name: a}}}}\naddressType: IPv4\n\
         endpoints: [{endpoints}]\nports: [{ports}]\n"
    )
}

#[test]
fn a_slice_has_a_thousand_endpoints() {
    let endpoints =
        |number| items(number, |index| format!("{{addresses: [10.0.{}.{}]}}", index / 250, index % 250));
    assert_findings(&slice(&endpoints(1000), ""), &[("", STAYS, "")]);
    let expected = "5:1: error: endpoints has 1001 items: it may have 1000; write fewer; until then all of them are \
                    read";
    assert_findings(&slice(&endpoints(1001), ""), &[("", STAYS, expected)]);
}

#[test]
fn an_endpoint_has_a_hundred_addresses() {
    let endpoint = |number| format!("{{addresses: [{}]}}", items(number, |index| format!("10.0.0.{index}")));
    assert_findings(&slice(&endpoint(100), ""), &[("", STAYS, "")]);
    let expected = "5:14: error: endpoints[0].addresses has 101 items: it may have 100; write fewer; until then all \
                    of them are read";
    assert_findings(&slice(&endpoint(101), ""), &[("", STAYS, expected)]);
}

#[test]
fn a_slice_has_twenty_thousand_ports() {
    let ports = |number| items(number, |index| format!("{{name: p{index}, port: {}}}", index + 1));
    assert_findings(&slice("", &ports(20000)), &[("", STAYS, "")]);
    let expected = "6:1: error: ports has 20001 items: it may have 20000; write fewer; until then all of them are \
                    read";
    assert_findings(&slice("", &ports(20001)), &[("", STAYS, expected)]);
}

#[test]
fn annotations_have_256_kibibytes_together() {
    let pod = |bytes| {
        let value = "a".repeat(bytes - "key".len());
        format!("kind: Pod\napiVersion: v1\nmetadata: {{name: a, annotations: {{key: {value}}}}}\n")
    };
    assert_findings(&pod(262_144), &[("", STAYS, "")]);
    let expected = "3:21: error: the annotations have 262145 bytes: they may have 262144; write fewer; until then \
                    they are read all the same";
    assert_findings(&pod(262_145), &[("", STAYS, expected)]);
}
