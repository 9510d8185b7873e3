//! What load balancers learn of a node.

use anyhow::{Context, Result};
use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Rig,
    plan::FAMILIES,
    wait::{SOON, until},
};

const PORT: u16 = 31999;

/// A Service that only the endpoints of a node answer for, and its Pods.
fn manifest(pods: &[(&Host, &Host)]) -> String {
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  healthCheckNodePort: {PORT}
  ipFamilyPolicy: RequireDualStack
  selector: {{app: web}}
  ports: [{{name: a, port: 80, targetPort: 8080}}, {{name: b, port: 81, targetPort: 8080}}]
"
    );
    for (pod, node) in pods {
        let ips = FAMILIES.map(|family| pod.address(family));
        let _ = write!(
            text,
            "---
apiVersion: v1
kind: Pod
metadata: {{name: {}, namespace: shop, labels: {{app: web}}}}
spec: {{nodeName: {}, containers: [{{name: server}}]}}
status: {{podIPs: [{{ip: {}}}, {{ip: \"{}\"}}]}}
",
            pod.name(),
            node.name(),
            ips[0],
            ips[1]
        );
    }
    text
}

/// Asks the node from outside: the status code, the weight and the body.
fn ask(rig: &Rig, family: Family) -> Result<(u16, String, String)> {
    let place = SocketAddr::new(rig.node().address(family), PORT);
    let answer = rig.client().namespace().enter(|| -> io::Result<String> {
        let mut stream = TcpStream::connect(place)?;
        stream.write_all(b"GET /any HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let weight = head.lines().find_map(|line| line.strip_prefix("x-load-balancing-endpoint-weight: "));
    Ok((status, weight.context("no weight")?.to_owned(), body.to_owned()))
}

#[test]
fn a_node_answers_for_the_endpoints_that_it_has() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (one, two, far) = (rig.pod("one")?, rig.pod("two")?, rig.remote_pod("far")?);
    let (node, node2) = (rig.node(), &rig.network().node2);
    let ask_both = || FAMILIES.map(|family| ask(&rig, family).ok());
    for (pods, code, endpoints) in [
        (&[(&one, node), (&far, node2)][..], 200, 1),
        (&[(&one, node), (&two, node), (&far, node2)], 200, 2),
        (&[(&far, node2)], 503, 0),
    ] {
        rig.write_file("web.yaml", &manifest(pods))?;
        let service = r#""service":{"namespace":"shop","name":"web"}"#;
        let body = format!(r#"{{{service},"localEndpoints":{endpoints},"serviceProxyHealthy":true}}"#);
        let expected = (code, endpoints.to_string(), body);
        let expected = [Some(expected.clone()), Some(expected)];
        until(&format!("{expected:?}"), SOON, || Ok((ask_both() == expected).then_some(())))?;
    }
    rig.write_file("web.yaml", "")?;
    until("nobody answers", SOON, || Ok((ask_both() == [None, None]).then_some(())))?;
    Ok(())
}
