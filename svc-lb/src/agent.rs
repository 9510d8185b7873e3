//! The pipeline in motion: what the agent knows, what it made of it, and how that went.

mod pause;
mod report;

use crate::{
    cluster::{Allocations, Ranges, join},
    compile::{self, compile, node_addresses},
    dataplane::{Dataplane, MapError, view},
    health::Health,
    metrics::Metrics,
    node::{Facts, PortSet, Roles, Sysctls, range_conflict, restore_sysctls},
    source::{Finding, Reading},
    state_dir::{StateDir, StateError},
    status::{self, Counts, Status},
};
use ipnet::IpNet;
use jiff::Timestamp;
use pause::Pause;
use std::{net::IpAddr, process, time::Instant};
use tracing::{debug, error, warn};

/// The file of ClusterIPs and nodePorts that svc-lb gave.
const ALLOCATIONS: &str = "allocations.json";

/// What the agent was told once and for all.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where ClusterIPs and nodePorts come from.
    pub ranges: Ranges,
    /// `--cluster-cidr`.
    pub cluster_cidrs: Vec<IpNet>,
    /// What the tables depend on.
    pub compile: compile::Options,
    /// Which interfaces are served.
    pub roles: Roles,
    /// The ports that the kernel is to give to nobody else.
    pub reserved_ports: PortSet,
}

/// What the agent acts with.
pub struct Tools {
    /// Where it keeps what outlives it.
    pub state: StateDir,
    /// The kernel's settings.
    pub sysctls: Sysctls,
    /// Programs and maps.
    pub dataplane: Dataplane,
    /// What `/healthz` answers.
    pub health: Health,
    /// What `/metrics` answers.
    pub metrics: Metrics,
}

/// The agent between two events.
pub struct Agent {
    options: Options,
    tools: Tools,
    reading: Reading,
    facts: Facts,
    allocations: Allocations,
    /// The node's own addresses; `None` before the first sync.
    node_addresses: Option<Vec<IpAddr>>,
    findings: Findings,
    failures: Failures,
    pause: Pause,
    status: Status,
}

/// What is wrong, by where it was found. It does not keep the agent from serving all else.
#[derive(Default)]
struct Findings {
    /// In the manifests, and in how they fit together and to the node.
    manifests: Vec<Finding>,
    /// In the tables, a line each: what does not fit into the maps.
    tables: Vec<String>,
    /// In the kernel's settings, a line each.
    sysctls: Vec<String>,
    /// In the state directory, a line each.
    state: Vec<String>,
}

/// What failed as a whole, and is tried again.
#[derive(Default)]
struct Failures {
    sync: Option<String>,
    attach: Option<String>,
}

impl Agent {
    /// Before the first event. Reads what an earlier agent gave to Services.
    pub fn new(options: Options, tools: Tools, facts: Facts) -> Result<Self, StateError> {
        let allocations = tools.state.read(ALLOCATIONS)?.unwrap_or_default();
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            started: Timestamp::now(),
            node: status::Node { name: options.compile.node_name.clone(), addresses: Vec::new() },
            counts: Counts::default(),
            last_sync: None,
            error: None,
            interfaces: Vec::new(),
            findings: Vec::new(),
            not_served: Vec::new(),
        };
        Ok(Self {
            options,
            tools,
            reading: Reading::default(),
            facts,
            allocations,
            node_addresses: None,
            findings: Findings::default(),
            failures: Failures::default(),
            pause: Pause::default(),
            status,
        })
    }

    /// The manifests changed.
    pub fn objects_changed(&mut self, reading: Reading) {
        self.reading = reading;
        self.tools.health.queued();
        self.tools.health.node_leaves(report::node_leaves(&self.reading.objects, &self.status.node.name));
        self.sync();
        self.conclude();
    }

    /// The machine changed.
    pub fn interfaces_changed(&mut self, facts: &Facts) {
        self.facts.clone_from(facts);
        self.tools.health.queued();
        self.attach();
        self.sync();
        self.conclude();
    }

    /// When to call [`Self::retry`]; `None` while all is well.
    pub fn retry_at(&self) -> Option<Instant> {
        self.pause.end()
    }

    /// Tries again what failed.
    pub fn retry(&mut self) {
        self.attach();
        self.sync();
        self.conclude();
    }

    /// Mends what others may have done to the programs and to the kernel's settings.
    pub fn mend(&mut self) {
        self.attach();
        self.conclude();
    }

    /// Deletes some flows that are past their timeout. `true`: those were the last for now.
    pub fn sweep(&mut self) -> bool {
        match self.tools.dataplane.sweep() {
            Ok(swept) => swept.finished,
            Err(error) => {
                warn!("flows that are past their timeout were not deleted: {error}");
                true
            }
        }
    }

    /// What the programs counted.
    pub fn counted(&self) -> Result<(Vec<view::Service>, view::Statistics), MapError> {
        Ok((self.tools.dataplane.services()?, self.tools.dataplane.statistics()?))
    }

    /// How things are, once the first sync has succeeded.
    pub fn ready(&self) -> Option<&Status> {
        self.status.last_sync.is_some().then_some(&self.status)
    }

    /// Takes the dataplane away, and everything else that the agent did to the node.
    pub fn detach(self) -> anyhow::Result<()> {
        self.tools.dataplane.detach()?;
        for line in restore_sysctls(&self.tools.state)? {
            warn!("{line}");
        }
        Ok(Status::remove(&self.tools.state)?)
    }

    /// Brings the maps to what the manifests and the machine ask for.
    fn sync(&mut self) {
        let start = Instant::now();
        let joined = join(&self.reading.objects, &self.options.ranges, &self.allocations);
        self.keep(joined.allocations);
        let compiled = compile(&joined.cluster, &self.facts, &self.options.compile);
        self.findings.manifests =
            [self.reading.findings.clone(), joined.findings, compiled.findings].concat();
        let done = self.tools.dataplane.sync(&compiled.tables);
        let took = start.elapsed();

        self.failures.sync = match done {
            Ok(done) => {
                debug!("sync: {} writes in {took:?}", done.writes);
                self.findings.tables = done.refusals.iter().map(ToString::to_string).collect();
                self.status.counts = report::counts(&compiled.tables);
                self.status.last_sync = Some(report::sync(took, done.writes));
                self.tools.metrics.synced(took);
                None
            }
            Err(error) => {
                self.tools.metrics.sync_failed();
                Some(format!("the services could not be written to the maps: {error}"))
            }
        };

        let addresses = node_addresses(&joined.cluster, &self.facts, &self.options.compile.node_name);
        let addresses: Vec<IpAddr> = addresses.iter().collect();
        if self.node_addresses.as_ref() != Some(&addresses) {
            self.node_addresses = Some(addresses);
            self.attach();
        }
    }

    /// Keeps what Services were given, for the next agent.
    fn keep(&mut self, allocations: Allocations) {
        if allocations != self.allocations || !self.findings.state.is_empty() {
            self.findings.state.clear();
            if let Err(error) = self.tools.state.write_durably(ALLOCATIONS, &allocations) {
                self.findings.state.push(format!("given ClusterIPs and nodePorts are not kept: {error}"));
            }
            self.allocations = allocations;
        }
    }

    /// Attaches the programs to the interfaces that are served, and readies the kernel for them. Not
    /// before the first sync: a program is to find the services when it sees its first packet.
    fn attach(&mut self) {
        let Some(addresses) = &self.node_addresses else { return };
        self.failures.attach = match self.tools.dataplane.set_interfaces(&self.facts, addresses) {
            Ok(attachments) => {
                let interfaces = report::interfaces(&self.facts, &attachments);
                report::log_attachments(&self.status.interfaces, &interfaces);
                self.status.interfaces = interfaces;
                None
            }
            Err(error) => Some(format!("the interfaces could not be served: {error}")),
        };
        let sysctls = &mut self.tools.sysctls;
        self.findings.sysctls = sysctls
            .apply(&self.facts.interfaces, &self.options.reserved_ports)
            .unwrap_or_else(|error| vec![format!("no sysctl is set: {error}")]);
    }

    /// Says how things are now, to whoever wants to know.
    fn conclude(&mut self) {
        let failures: Vec<&str> =
            [&self.failures.sync, &self.failures.attach].into_iter().flatten().map(String::as_str).collect();
        let error = (!failures.is_empty()).then(|| failures.join("; "));
        if let Some(error) = &error {
            error!("{error}; to be tried again");
            self.pause.failed(Instant::now());
        } else {
            self.pause.succeeded();
            self.tools.health.synced();
        }

        let (findings, not_served) = self.lines();
        for finding in findings.iter().filter(|finding| !self.status.findings.contains(finding)) {
            warn!("{finding}");
        }
        self.tools.metrics.describe(self.status.counts, findings.len());
        self.status.error = error;
        self.status.findings = findings;
        self.status.not_served = not_served;
        self.status.node.addresses = self.node_addresses.clone().unwrap_or_default();
        if let Err(error) = self.status.write(&self.tools.state) {
            warn!("the status is not written: {error}");
        }
    }

    /// What is wrong, and what is not served, a line each.
    fn lines(&self) -> (Vec<String>, Vec<String>) {
        let (mut wrong, unserved) = report::findings(&self.findings.manifests);
        let Findings { tables, sysctls, state, .. } = &self.findings;
        wrong.extend([tables, sysctls, state].into_iter().flatten().cloned());
        let missing = self.options.roles.missing_uplinks(&self.facts.interfaces);
        wrong.extend(missing.map(|name| format!("--uplink {name}: there is no such interface")));
        let Options { ranges, cluster_cidrs, .. } = &self.options;
        wrong.extend(ranges.cluster_ips.iter().filter_map(|range| {
            let other = range_conflict(*range, &self.facts.interfaces, cluster_cidrs)?;
            Some(format!(
                "the range of ClusterIPs {range} meets {other}: give another --service-cluster-ip-range"
            ))
        }));
        let not_served = report::NOT_SERVED.map(str::to_owned).into_iter().chain(unserved);
        (wrong, not_served.collect())
    }
}
