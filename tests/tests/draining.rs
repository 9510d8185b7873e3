//! An endpoint that terminates and still serves keeps what it has and gets nothing new.

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::Value;
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    conversation::Standing,
    manifest::TARGET_PORT,
    plan::{FAMILIES, KINDS},
    wait::{SOON, until},
    with_and_without_xdp,
};

with_and_without_xdp!(
    conversations_go_on_until_the_endpoint_stops_serving_and_new_ones_get_the_others,
    without_ready_endpoints_new_conversations_get_those_that_terminate,
);

/// The conditions of an endpoint.
const READY: &str = "ready: true, serving: true, terminating: false";
const LEAVING: &str = "ready: false, serving: true, terminating: true";
const LEFT: &str = "ready: false, serving: false, terminating: true";

/// Gives a Service without endpoints these, each with its conditions, and waits until the maps have them. One
/// that leaves while others are ready must have been there before: else it never has anything to keep.
fn apply(rig: &Rig, service: &Service, endpoints: &[(&Host, &str)]) -> Result<()> {
    let slice = |family: Family| {
        let endpoints = endpoints.iter().map(|(host, conditions)| {
            format!("- {{addresses: [\"{}\"], conditions: {{{conditions}}}}}\n", host.address(family))
        });
        format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: slice-{}, labels: {{kubernetes.io/service-name: {}}}}}
addressType: {family}
ports: [{{name: tcp, port: {TARGET_PORT}}}, {{name: udp, protocol: UDP, port: {TARGET_PORT}}}]
endpoints:
{}",
            family.to_string().to_lowercase(),
            service.name(),
            endpoints.collect::<String>()
        )
    };
    rig.write_file("slices.yaml", &FAMILIES.map(slice).concat())?;
    let is_ready = |conditions: &str| conditions.starts_with("ready: true");
    let any_ready = endpoints.iter().any(|(_, conditions)| is_ready(conditions));
    let mut expected: Vec<(String, bool)> = Vec::new();
    for (host, conditions) in endpoints.iter().filter(|(_, conditions)| *conditions != LEFT) {
        for (family, _) in KINDS {
            expected.push((host.address(family).to_string(), any_ready && !is_ready(conditions)));
        }
    }
    expected.sort_unstable();
    until("the agent knows the conditions", SOON, || Ok((shown(rig)? == expected).then_some(())))
}

/// The backends' addresses, and whether they drain, as `svc-lb get backends` shows them.
fn shown(rig: &Rig) -> Result<Vec<(String, bool)>> {
    let backends = rig.json(&["get", "backends"])?;
    let one =
        |backend: &Value| Some((backend["address"].as_str()?.to_owned(), backend["draining"].as_bool()?));
    let mut shown: Vec<_> = backends.as_array().into_iter().flatten().filter_map(one).collect();
    shown.sort_unstable();
    Ok(shown)
}

/// A conversation of each kind with each backend, from a pod and from outside.
fn converse(rig: &Rig, pod: &Host, service: &Service, backends: usize) -> Result<Vec<Standing>> {
    let mut standing = Vec::new();
    for (family, protocol) in KINDS {
        for _ in 0..backends {
            standing.push(Standing::begin(rig.client(), protocol, rig.node_port(service, family))?);
            standing.push(Standing::begin(pod, protocol, service.cluster_ip(family))?);
        }
    }
    Ok(standing)
}

/// Asserts that each of these answers every kind of client that comes anew, and nobody else.
fn newcomers_get(rig: &Rig, pod: &Host, service: &Service, names: &[&str]) -> Result<()> {
    for (family, protocol) in KINDS {
        let outside = rig.client().dial(protocol, rig.node_port(service, family));
        for dial in [outside, pod.dial(protocol, service.cluster_ip(family))] {
            let tally = dial.times(2 * names.len())?;
            assert!(tally.0.keys().eq(names) && tally.0.values().all(|&count| count == 2), "{tally}");
        }
    }
    Ok(())
}

fn conversations_go_on_until_the_endpoint_stops_serving_and_new_ones_get_the_others(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    let (local, remote, other) = (rig.pod("local")?, rig.remote_pod("remote")?, rig.pod("other")?);
    let service = Service::number(1);
    rig.apply(&[&service])?;
    apply(&rig, &service, &[(&local, READY), (&remote, READY), (&other, READY)])?;
    let mut standing = converse(&rig, &pod, &service, 3)?;

    apply(&rig, &service, &[(&local, LEAVING), (&remote, LEAVING), (&other, READY)])?;
    newcomers_get(&rig, &pod, &service, &["other"])?;
    standing.iter_mut().try_for_each(Standing::go_on)?;
    rig.stop_agent(Signal::SIGKILL)?;
    rig.start_agent()?;
    standing.iter_mut().try_for_each(Standing::go_on)?;

    apply(&rig, &service, &[(&local, LEFT), (&remote, LEFT), (&other, READY)])?;
    for conversation in &mut standing {
        match conversation {
            Standing::Tcp(connection) => connection.echo()?,
            Standing::Udp(exchange, _) => assert_eq!(exchange.ask()?.by, "other"),
        }
    }
    Ok(())
}

fn without_ready_endpoints_new_conversations_get_those_that_terminate(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let service = Service::number(1);
    rig.apply(&[&service])?;
    apply(&rig, &service, &[(&local, LEAVING), (&remote, LEAVING)])?;
    newcomers_get(&rig, &pod, &service, &["local", "remote"])?;
    let mut standing = converse(&rig, &pod, &service, 2)?;
    apply(&rig, &service, &[(&local, LEAVING), (&remote, READY)])?;
    standing.iter_mut().try_for_each(Standing::go_on)?;
    newcomers_get(&rig, &pod, &service, &["remote"])?;
    Ok(())
}
