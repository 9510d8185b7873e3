//! Readiness without Kubernetes: the agent probes the Pods of manifests, and they leave and return.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeSet,
    fmt::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Rig,
    manifest::TARGET_PORT,
    wait::{SOON, until},
};

const NODE_PORT: u16 = 30001;

/// `periodSeconds`, `timeoutSeconds` and `failureThreshold` of every probe.
const PERIOD: u64 = 1;
const TIMEOUT: u64 = 1;
const FAILURES: u64 = 2;

/// A Service, and Pods with probes that it selects.
fn manifest(pods: &[&Host]) -> String {
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: web, nodePort: {NODE_PORT}}}]
"
    );
    for pod in pods {
        let (name, address) = (pod.name(), pod.address(Family::V4));
        let _ = write!(
            text,
            "---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web}}}}
spec:
  containers:
  - name: server
    ports: [{{name: web, containerPort: {TARGET_PORT}}}]
    readinessProbe:
      tcpSocket: {{port: web}}
      periodSeconds: {PERIOD}
      timeoutSeconds: {TIMEOUT}
      failureThreshold: {FAILURES}
status: {{podIP: {address}}}
"
        );
    }
    text
}

/// Who answers the client outside, and `nobody` if some connection finds no one.
fn answerers(rig: &Rig) -> BTreeSet<String> {
    let target = SocketAddr::new(rig.node().address(Family::V4), NODE_PORT);
    // Twice as often as there are Pods: round robin asks each.
    let ask = |_| rig.client().tcp(target).ask().map_or_else(|_| "nobody".to_owned(), |answer| answer.by);
    (0..6).map(ask).collect()
}

fn await_answerers(rig: &Rig, expected: &[&str]) -> Result<()> {
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    until(&format!("{expected:?} answer"), SOON, || Ok((answerers(rig) == expected).then_some(())))
}

/// The backends of the one Service.
fn backends(rig: &Rig) -> Result<usize> {
    Ok(rig.served()?.iter().map(|served| served.backends.len()).sum())
}

fn not_ready(rig: &Rig) -> Result<Vec<String>> {
    Ok(serde_json::from_value(rig.json(&["status"])?["agent"]["notReady"].take())?)
}

#[test]
fn pods_leave_when_they_stop_to_answer_and_return_when_they_do_again() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (near, far, late) = (rig.pod("near")?, rig.remote_pod("far")?, rig.network().pod("late")?);
    rig.write_file("web.yaml", &manifest(&[&near, &far, &late]))?;
    await_answerers(&rig, &["near", "far"])?;
    let lines = not_ready(&rig)?;
    let server = |pod: &Host| format!("tcp {}:{TARGET_PORT}", pod.address(Family::V4));
    assert_eq!(lines, [format!("default/late, container server: {}: connection refused", server(&late))]);

    // A new Pod comes when it answers, and later ones leave those before alone.
    late.serve(TARGET_PORT)?;
    await_answerers(&rig, &["near", "far", "late"])?;
    assert_eq!(not_ready(&rig)?, [] as [String; 0]);

    for pod in [&near, &far] {
        let others: Vec<&str> =
            [&near, &far, &late].into_iter().map(Host::name).filter(|name| *name != pod.name()).collect();
        pod.stop_serving();
        let stopped = Instant::now();
        await_answerers(&rig, &others)?;
        let took = stopped.elapsed();
        let promised = Duration::from_secs(PERIOD * FAILURES + TIMEOUT);
        ensure!(took < promised, "{} left after {took:?} instead of {promised:?}", pod.name());
        pod.serve(TARGET_PORT)?;
        await_answerers(&rig, &["near", "far", "late"])?;
    }
    Ok(())
}

#[test]
fn an_agent_that_starts_again_takes_no_pod_out_before_it_has_failed() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (near, far) = (rig.pod("near")?, rig.remote_pod("far")?);
    rig.write_file("web.yaml", &manifest(&[&near, &far]))?;
    await_answerers(&rig, &["near", "far"])?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        rig.stop_agent(signal)?;
        // It does not answer any more, and the next agent cannot know that it did but from the one before.
        far.stop_serving();
        rig.start_agent()?;
        assert_eq!(backends(&rig)?, 2, "as before");
        await_answerers(&rig, &["near"])?;
        far.serve(TARGET_PORT)?;
        await_answerers(&rig, &["near", "far"])?;
    }
    Ok(())
}

#[test]
fn without_probes_every_pod_is_ready() -> Result<()> {
    let rig = Rig::routed().flag("--probe", "off").start()?;
    let (near, far) = (rig.pod("near")?, rig.network().remote_pod("far")?);
    rig.write_file("web.yaml", &manifest(&[&near, &far]))?;
    await_answerers(&rig, &["near", "nobody"])?;
    assert_eq!((backends(&rig)?, not_ready(&rig)?.len()), (2, 0));
    Ok(())
}
