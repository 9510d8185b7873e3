//! What the agent makes of manifests as people write them.

use anyhow::Result;
use nix::sys::signal::Signal;
use std::{collections::BTreeSet, fs, net::SocketAddr};
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Rig, Service, SocketLb, Xdp,
    manifest::{Served, TARGET_PORT},
    plan::{FAMILIES, KINDS},
    wait::{SOON, until},
    with_and_without_xdp,
};

with_and_without_xdp!(the_example_works_as_it_stands);

/// Writes a file, and waits until what is served satisfies a condition.
fn served_after<T>(
    rig: &Rig,
    manifest: &str,
    condition: impl Fn(&BTreeSet<Served>) -> Option<T>,
) -> Result<T> {
    rig.write_file("more.yaml", manifest)?;
    until("the file is in force", SOON, || Ok(condition(&rig.served()?)))
}

fn the_example_works_as_it_stands(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).socket_lb(SocketLb::On).start()?;
    let names = ["echo-hostname-1", "echo-hostname-2", "echo-hostname-3"];
    let pods: Vec<Host> = names.iter().map(|name| rig.pod(name)).collect::<Result<_>>()?;
    pods.iter().try_for_each(|pod| pod.serve(80))?;
    let (pod, member, node) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?, rig.node());
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hostname.yaml"))?;
    let cluster_ip = served_after(&rig, &example, |served| {
        let service = served.iter().find(|served| served.backends.len() == 3)?;
        service.frontends.iter().find(|frontend| frontend.port() == 8080).copied()
    })?;
    let node_port = SocketAddr::new(rig.node().address(Family::V4), 30163);
    let internal = [&pod, &member, node].map(|client| [(client, cluster_ip), (client, node_port)]);
    for (client, target) in internal.into_iter().flatten().chain([(rig.client(), node_port)]) {
        let tally = client.tcp(target).times(6)?;
        assert_eq!(tally, names.map(|name| (name, 2)), "{target}");
    }
    Ok(())
}

/// A Service that leaves its ClusterIPs and its nodePort to svc-lb, in front of the pods that have its
/// name as their label.
fn unallocated(name: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {{app: {name}}}
  ports: [{{port: 80, targetPort: web}}]
"
    )
}

/// A pod as the API server shows it, with the label of a Service and a named port.
fn pod_of(service: &str, host: &Host) -> String {
    let addresses = host.addresses();
    format!(
        "---
apiVersion: v1
kind: Pod
metadata: {{name: {}, labels: {{app: {service}, tier: web}}}}
spec: {{containers: [{{name: web, image: web, ports: [{{name: web, containerPort: {TARGET_PORT}}}]}}]}}
status:
  phase: Running
  podIP: {v4}
  podIPs: [{{ip: {v4}}}, {{ip: \"{v6}\"}}]
  conditions: [{{type: Ready, status: \"True\"}}]
",
        host.name(),
        v4 = addresses.v4,
        v6 = addresses.v6,
    )
}

/// The frontends of a Service, by family; `None` while it is not served in both with an endpoint.
fn frontends(served: &BTreeSet<Served>, name: &str) -> Option<[BTreeSet<SocketAddr>; 2]> {
    let of = |family| {
        let found = served.iter().find(|served| served.name == name && served.family == family)?;
        (!found.backends.is_empty()).then(|| found.frontends.clone())
    };
    Some([of(Family::V4)?, of(Family::V6)?])
}

#[test]
fn addresses_and_ports_that_are_left_out_are_given_shown_and_kept() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let manifest = unallocated("web") + &pod_of("web", &backend);
    let given = served_after(&rig, &manifest, |served| frontends(served, "web"))?;
    for frontend in given.iter().flatten() {
        assert_eq!(pod.tcp(*frontend).ask()?.by, "backend", "{frontend}");
        let is_node_port = rig.node().addresses().of(Family::of(frontend.ip())) == frontend.ip();
        assert_eq!(is_node_port, frontend.port() >= 30000, "{frontend}");
    }
    // Another Service, which comes first by name, takes nothing away; nor does a new start.
    let manifest = unallocated("another") + &pod_of("another", &pod) + &manifest;
    let others = served_after(&rig, &manifest, |served| frontends(served, "another"))?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        rig.stop_agent(signal)?;
        rig.start_agent()?;
        let served = rig.served()?;
        assert_eq!(frontends(&served, "web").as_ref(), Some(&given));
        assert_eq!(frontends(&served, "another").as_ref(), Some(&others));
    }
    Ok(())
}

#[test]
fn slices_of_one_service_may_name_different_ports() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, one, other) = (rig.pod("pod")?, rig.pod("one")?, rig.pod("other")?);
    other.serve(9090)?;
    let service = Service::number(1).behind([&one]).and(&other, 9090);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let tally = pod.dial(protocol, service.cluster_ip(family)).times(20)?;
        assert_eq!(tally, [("one", 10), ("other", 10)]);
    }
    Ok(())
}

#[test]
fn a_bad_document_leaves_the_rest_in_force_and_is_shown_in_the_status() -> Result<()> {
    let rig = Rig::routed().start()?;
    let backend = rig.pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let served = rig.served()?;
    let good = unallocated("web") + &pod_of("web", &backend);
    let bad = "---
apiVersion: v1
kind: Service
metadata: {name: bad}
spec:
  ports:
  - port: 99999
";
    served_after(&rig, &(bad.to_owned() + &good), |served| frontends(served, "web"))?;
    let findings = rig.findings()?;
    assert!(findings.iter().any(|finding| finding.contains("more.yaml:7:")), "{findings:?}");
    // A file that is no YAML at all keeps what was good in it before, and all of the others.
    rig.write_file("more.yaml", "{{{ this is: no YAML")?;
    until("the file is found bad", SOON, || Ok((rig.findings()? != findings).then_some(())))?;
    let now = rig.served()?;
    assert!(frontends(&now, "web").is_some() && now.is_superset(&served));
    for family in FAMILIES {
        assert_eq!(rig.client().tcp(rig.node_port(&service, family)).ask()?.by, "backend");
    }
    Ok(())
}

/// A Service with an address and an endpoint, with further metadata and lines of its spec.
fn plain(metadata: &str, spec: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: plain, {metadata}}}
spec:
  {spec}
  ports: [{{port: 80}}]
---
apiVersion: v1
kind: Endpoints
metadata: {{name: plain}}
subsets: [{{addresses: [{{ip: 10.244.0.200}}], ports: [{{port: 80}}]}}]
"
    )
}

#[test]
fn services_that_are_not_for_svc_lb_are_left_alone_and_shown() -> Result<()> {
    let rig = Rig::routed().start()?;
    let is_served = |served: &BTreeSet<Served>| served.iter().any(|service| service.name == "plain");
    let listed = || Ok::<_, anyhow::Error>(String::from_utf8(rig.svc_lb(&["get", "services"])?.stdout)?);
    let address = "clusterIP: 10.96.7.7";
    for (metadata, spec, shown) in [
        ("labels: {service.kubernetes.io/service-proxy-name: other}", address, None),
        ("", "{type: ExternalName, externalName: example.org, clusterIP: 10.96.7.7}", Some("example.org")),
        ("", "clusterIP: None", Some("None")),
    ] {
        served_after(&rig, &plain("", address), |served| is_served(served).then_some(()))?;
        let spec = spec.trim_matches(['{', '}']).replace(", ", "\n  ");
        served_after(&rig, &plain(metadata, &spec), |served| (!is_served(served)).then_some(()))?;
        match shown {
            Some(word) => until("it is shown", SOON, || Ok(listed()?.contains(word).then_some(())))?,
            None => assert!(!listed()?.contains("plain")),
        }
    }
    Ok(())
}
