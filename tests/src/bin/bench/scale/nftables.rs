//! The same Services as kube-proxy's rules.

use super::scene::Scene;
use crate::{
    kube_proxy::{self, Cluster, ServicePort},
    nft,
    rounds::Effort,
};
use anyhow::Result;
use std::{iter, time::Instant};
use svc_lb::compile::Family;
use svc_lb_tests::{
    Namespace,
    large_cluster::{self, LargeCluster},
    plan::SERVICE_RANGE,
};

/// How many Services are loaded at once. kube-proxy loads all at once when it starts; but what the kernel takes for
/// one transaction grows with the square of it, to minutes for 10,000 Services.
const SERVICES_AT_ONCE: usize = 1_000;

/// A namespace with the rules.
pub struct Rules {
    namespace: Namespace,
    cluster: Cluster,
}

impl Rules {
    /// In how many rounds the rules of a cluster are loaded: those of 10,000 Services take the better part of a minute,
    /// and those of 50,000 would take many.
    pub fn rounds(cluster: &LargeCluster, effort: Effort) -> usize {
        match (effort, cluster.services()) {
            (Effort::Full, ..=1_000) => 5,
            (_, ..=10_000) => 1,
            _ => 0,
        }
    }

    /// What part of the rules of a cluster is loaded, one in so many: with little time a quarter of those of 10,000
    /// Services, which takes less than a quarter of the time, because the more there are, the longer each takes.
    pub fn part(cluster: &LargeCluster, effort: Effort) -> u32 {
        if effort == Effort::Quick && cluster.services() >= 10_000 { 4 } else { 1 }
    }

    /// Loads a part of the rules of a cluster. Returns how long that took, in milliseconds.
    pub fn load(scene: &Scene, part: u32) -> Result<(Self, f64)> {
        let cluster =
            Cluster::of(scene.rig.node(), [large_cluster::CLUSTER_CIDR, SERVICE_RANGE], Family::V4)?;
        let services = 0..scene.cluster.services() / part;
        let ports: Vec<ServicePort> = services.map(|service| port(&scene.cluster, service)).collect();
        let mut chunks = ports.chunks(SERVICES_AT_ONCE);
        let first = kube_proxy::ruleset(&cluster, chunks.next().unwrap_or_default());
        let others: Vec<String> = chunks.map(|ports| kube_proxy::additions(&cluster, ports)).collect();
        let rules = Self { namespace: Namespace::new("kube-proxy")?, cluster };
        let took = iter::once(&first).chain(&others).map(|text| rules.run(text)).sum::<Result<f64>>()?;
        Ok((rules, took))
    }

    /// Changes the rules of a Service. Returns how long that took, in milliseconds.
    pub fn update(&self, cluster: &LargeCluster, service: u32) -> Result<f64> {
        self.run(&kube_proxy::update(&self.cluster, &port(cluster, service)))
    }

    fn run(&self, text: &str) -> Result<f64> {
        let start = Instant::now();
        nft::run(&self.namespace, text)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

fn port(cluster: &LargeCluster, service: u32) -> ServicePort {
    let (namespace, name) = cluster.name(service);
    ServicePort {
        name: format!("{namespace}/{name}/tcp/http"),
        cluster_ip: cluster.cluster_ip(service),
        node_port: cluster.node_port(service),
        endpoints: cluster.endpoints(service),
    }
}
