//! `cargo xtask demo`: a Service at work, on one screen.
//!
//! It serves `examples/hostname.yaml` on a node that is made of network namespaces. Nothing can be left
//! on the machine, whenever it is interrupted: the kernel removes the namespaces with the process.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::{fs, net::SocketAddr, time::Duration};
use svc_lb_tests::{Host, Rig, SocketLb, wait::until};

/// The Service's manifest.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hostname.yaml");
/// The Pods in it, whose addresses are those that the rig gives its first pods.
const PODS: [&str; 3] = ["echo-hostname-1", "echo-hostname-2", "echo-hostname-3"];
/// The Pod that is taken out.
const REMOVED: &str = PODS[1];
/// The Service's `targetPort`, `port` and `nodePort`.
const TARGET_PORT: u16 = 80;
const PORT: u16 = 8080;
const NODE_PORT: u16 = 30163;
/// How many requests are shown before the change, and how many after.
const REQUESTS: usize = 6;

fn main() -> Result<()> {
    println!("One node, three Pods, another Pod and a client outside, made of network namespaces.\n");
    let rig = Rig::routed().socket_lb(SocketLb::On).quiet().switch("--detach-on-exit").start()?;
    let pods = PODS.into_iter().map(|name| rig.pod(name)).collect::<Result<Vec<_>>>()?;
    pods.iter().try_for_each(|pod| pod.serve(TARGET_PORT))?;
    let pod = rig.pod_outside_the_cgroup("client-pod")?;
    let manifest = fs::read_to_string(EXAMPLE).with_context(|| EXAMPLE.to_owned())?;
    let cluster_ip = serve(&rig, &manifest, PODS.len())?;
    let node_port = SocketAddr::new(rig.node().addresses().v4.into(), NODE_PORT);

    println!("$ svc-lb run --services examples/hostname.yaml\n");
    let clients = [(&pod, cluster_ip), (rig.client(), node_port), (rig.node(), cluster_ip)];
    println!("  request   from a Pod to the ClusterIP   from outside to the NodePort   from the node itself");
    println!("            {cluster_ip:<29} {node_port:<30} {cluster_ip}");
    ask(clients, 1)?;

    println!("\n  Now {REMOVED} is taken out of the file:\n");
    serve(&rig, &without(&manifest, REMOVED), PODS.len() - 1)?;
    ask(clients, REQUESTS + 1)?;
    println!(
        "\n  The node's own process was sent straight to the Pods when it connected: none of its packets"
    );
    println!("  was translated.");

    rig.stop_agent(Signal::SIGTERM)?;
    println!("\nAll of it is removed again.");
    Ok(())
}

/// Gives the agent the manifest, waits until it serves so many Pods, and returns the ClusterIP.
fn serve(rig: &Rig, manifest: &str, pods: usize) -> Result<SocketAddr> {
    rig.write_file("hostname.yaml", manifest)?;
    until("the agent serves the example", Duration::from_secs(10), || {
        let served = rig.served()?.into_iter().find(|served| served.backends.len() == pods);
        Ok(served.and_then(|served| served.frontends.into_iter().find(|address| address.port() == PORT)))
    })
}

/// The manifest without one Pod.
fn without(manifest: &str, pod: &str) -> String {
    let documents = manifest.split("---\n").filter(|document| !document.contains(&format!("name: {pod}\n")));
    documents.collect::<Vec<_>>().join("---\n")
}

/// Shows who answers, a line a request. One column is asked after the other: all take turns with the
/// same Pods.
fn ask(clients: [(&Host, SocketAddr); 3], first: usize) -> Result<()> {
    let [inside, outside, node] = clients.map(|(host, target)| {
        (0..REQUESTS).map(|_| Ok(host.tcp(target).ask()?.by)).collect::<Result<Vec<String>>>()
    });
    let rows = inside?.into_iter().zip(outside?).zip(node?);
    for (number, ((inside, outside), node)) in (first..).zip(rows) {
        println!("  {number:>7}   {inside:<29} {outside:<30} {node}");
    }
    Ok(())
}
