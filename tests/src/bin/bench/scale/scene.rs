//! A rig with the manifests of a large cluster, whose agent is started and stopped.

use super::{ENDPOINTS, attached::Attached, nftables::Rules};
use crate::traffic::Listener;
use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Rig,
    large_cluster::{self, LargeCluster},
    links,
    pods::veth,
    wait::{SOON, until},
};

/// The rig and its Services.
pub struct Scene {
    /// The Services, as the manifests tell of them now.
    pub cluster: LargeCluster,
    /// What the manifests measure, in megabytes.
    pub manifests: f64,
    /// The rig.
    pub rig: Rig,
    /// The same Services as kube-proxy's rules, if they are compared.
    pub rules: Option<Rules>,
    client: Host,
    /// Where connections to any endpoint are accepted.
    listener: Listener,
    /// The pod that has the addresses of all endpoints.
    _backend: Host,
}

/// A sync, as the agent tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Sync {
    /// When it ended; no two are the same.
    time: String,
    /// To read and parse what changed, in milliseconds.
    pub parse: f64,
    /// To compile the tables, in milliseconds.
    pub compile: f64,
    /// To write the difference to the maps, in milliseconds.
    pub write: f64,
    /// How many elements of maps were written or deleted.
    pub writes: f64,
}

impl Scene {
    /// Builds the rig and writes the manifests. No agent runs.
    pub fn build(services: u32) -> Result<Self> {
        let rig = Rig::routed()
            .with_offloads()
            .quiet()
            .flag("--cluster-cidr", large_cluster::CLUSTER_CIDR)
            .switch("--detach-on-exit")
            .start()?;
        let (client, backend) = (rig.pod("client")?, rig.pod("backend")?);
        stand_for_all_pods(&rig, &backend)?;
        let listener = Listener::start(backend.namespace())?;
        let cluster = LargeCluster::new(services, ENDPOINTS);
        let mut bytes = 0.0;
        let scene = Self { manifests: 0.0, rig, client, cluster, rules: None, listener, _backend: backend };
        scene.stop()?;
        for (name, text) in scene.cluster.files() {
            bytes += f64::from(u32::try_from(text.len())?);
            scene.rig.write_file(&name, &text)?;
        }
        Ok(Self { manifests: bytes / 1e6, ..scene })
    }

    /// Starts the agent, and returns how long it took until it said that it serves all Services.
    pub fn start(&self) -> Result<Duration> {
        let start = Instant::now();
        self.rig.start_agent()?;
        let took = start.elapsed();
        let agent = self.status()?;
        let services = self.cluster.services();
        let served = &agent["counts"];
        ensure!(
            served["servicePorts"] == services && served["backends"] == services * ENDPOINTS,
            "of {services} Services the agent serves {served}: {}",
            agent["findings"]
        );
        Ok(took)
    }

    /// Stops the agent, which leaves nothing.
    pub fn stop(&self) -> Result<()> {
        let status = self.rig.stop_agent(Signal::SIGTERM)?;
        ensure!(status.success() && !self.rig.is_pinned(), "the agent did not clean up: {status}");
        Ok(())
    }

    /// The agent's process id.
    pub fn agent(&self) -> Result<u64> {
        self.status()?["pid"].as_u64().context("no agent in the status")
    }

    /// The last sync.
    pub fn last_sync(&self) -> Result<Sync> {
        let sync = self.status()?["lastSync"].take();
        Sync::read(&sync).with_context(|| format!("a sync of a strange form: {sync}"))
    }

    /// The sync that comes after another.
    pub fn sync_after(&self, before: &Sync) -> Result<Sync> {
        until("another sync", SOON, || Ok(Some(self.last_sync()?).filter(|sync| sync != before)))
    }

    /// Does something in the client's pod, with what accepts connections to any endpoint.
    pub fn in_client<T: Send>(&self, work: impl FnOnce(&Listener) -> Result<T> + Send) -> Result<T> {
        self.client.namespace().enter(|| work(&self.listener))
    }

    /// Does something on the node with the program that serves the client's packets.
    pub fn with_client<T: Send>(&self, work: impl FnOnce(&Attached) -> Result<T> + Send) -> Result<T> {
        let attached = Attached::find(&self.rig, &self.client)?;
        self.rig.node().namespace().enter(|| work(&attached))
    }

    fn status(&self) -> Result<Value> {
        Ok(self.rig.json(&["status"])?["agent"].take())
    }
}

/// Gives a pod the addresses of all pods of the cluster, each of which answers. The node knows one neighbour for them:
/// it would forget some of so many, and ask for them again.
fn stand_for_all_pods(rig: &Rig, pod: &Host) -> Result<()> {
    let all: IpNet = large_cluster::CLUSTER_CIDR.parse()?;
    // All addresses of a network are local to the loopback interface that has one of them.
    links::configure(pod.namespace(), async |links| links.address("lo", all).await)?;
    links::configure(rig.node().namespace(), async |links| {
        links.route(all, &veth(pod.name()), Some(pod.address(Family::V4))).await
    })
}

impl Sync {
    /// From what `svc-lb status -o json` prints; `None` if it is not of that form.
    fn read(sync: &Value) -> Option<Self> {
        let stage = |name: &str| sync["stages"][name].as_f64().map(|microseconds| microseconds / 1e3);
        Some(Self {
            time: sync["time"].as_str()?.to_owned(),
            parse: stage("parse")?,
            compile: stage("compile")?,
            write: stage("write")?,
            writes: sync["writes"].as_f64()?,
        })
    }
}
