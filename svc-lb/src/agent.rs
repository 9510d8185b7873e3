//! The pipeline in motion: what the agent knows, what it made of it, and how that went.

mod exhaustion;
mod memory;
mod pause;
mod pipeline;
mod report;

pub use memory::keep_no_buffers;

use crate::{
    cluster::{Allocations, Concerned, Ranges, concerned, selecting},
    compile,
    dataplane::{Dataplane, MapError, Swept, view},
    health::Health,
    health_check::HealthChecks,
    metrics::{Durations, Metrics},
    node::{
        Closer, Facts, Keeper, Machine, Neighbour, PortSet, Roles, Sysctls, check_ranges, range_conflict,
        remove_neighbours, restore_sysctls,
    },
    probe::{Outcome, Probes},
    source::{Difference, FileSource, Reading},
    state_dir::{StateDir, StateError},
    status::{self, Counts, Status},
};
use exhaustion::Exhaustion;
use ipnet::IpNet;
use jiff::Timestamp;
use pause::Pause;
use pipeline::{Pipeline, Renewed};
use std::{
    collections::{BTreeSet, HashSet},
    mem,
    net::IpAddr,
    path::PathBuf,
    process,
    time::Instant,
};
use svc_lb_common::{counters::DropReason, snat::PortRange};
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
    /// The cgroup whose processes are sent straight to backends, or why there is none.
    pub cgroup: Result<PathBuf, String>,
    /// The ports that the kernel is to give to nobody else.
    pub ports: Ports,
}

/// The ports of this node that svc-lb uses.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// `--snat-port-range`.
    pub snat: PortRange,
    /// `--service-node-port-range`.
    pub node_ports: PortRange,
}

impl Ports {
    fn reserved(self) -> PortSet {
        PortSet::of(&[self.snat, self.node_ports])
    }
}

/// What the agent acts with.
pub struct Tools {
    /// Where it keeps what outlives it.
    pub state: StateDir,
    /// The kernel's settings.
    pub sysctls: Sysctls,
    /// Neighbours.
    pub neighbours: Keeper,
    /// Sockets that have lost their backend.
    pub sockets: Closer,
    /// Programs and maps.
    pub dataplane: Dataplane,
    /// The readiness probes of Pods; `None` if they are not run.
    pub probes: Option<Probes>,
    /// What `/healthz` answers.
    pub health: Health,
    /// What load balancers ask for by Service.
    pub health_checks: HealthChecks,
    /// What `/metrics` answers.
    pub metrics: Metrics,
}

/// The agent between two events.
pub struct Agent {
    options: Options,
    tools: Tools,
    reading: Reading,
    machine: Machine,
    pipeline: Pipeline,
    /// What Services were given, as it is kept for the next agent.
    kept: Allocations,
    /// The facts for which programs were attached last.
    attached_for: Option<Facts>,
    /// The neighbours that are kept; `None`: those of an earlier agent.
    neighbours: Option<BTreeSet<Neighbour>>,
    exhaustion: Exhaustion,
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
    pub fn new(options: Options, tools: Tools, machine: Machine) -> Result<Self, StateError> {
        let allocations: Allocations = tools.state.read(ALLOCATIONS)?.unwrap_or_default();
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            started: Timestamp::now(),
            node: status::Node { name: options.compile.node_name.clone(), addresses: Vec::new() },
            counts: Counts::default(),
            last_sync: None,
            error: None,
            interfaces: Vec::new(),
            socket_lb: status::SocketLb::default(),
            unserved: Vec::new(),
            not_ready: Vec::new(),
            findings: Vec::new(),
        };
        Ok(Self {
            options,
            tools,
            reading: Reading::default(),
            machine,
            pipeline: Pipeline::new(allocations.clone()),
            kept: allocations,
            attached_for: None,
            neighbours: None,
            exhaustion: Exhaustion::default(),
            node_addresses: None,
            findings: Findings::default(),
            failures: Failures::default(),
            pause: Pause::default(),
            status,
        })
    }

    /// The manifests changed.
    pub fn objects_changed(&mut self, source: &mut FileSource) {
        let difference = source.refresh(&mut self.reading);
        self.differ(difference);
    }

    /// The manifests were read for the first time.
    pub fn begin(&mut self, (reading, difference): (Reading, Difference)) {
        self.reading = reading;
        self.differ(difference);
    }

    fn differ(&mut self, mut difference: Difference) {
        if let Some(probes) = &mut self.tools.probes {
            probes.follow(&mut self.reading.objects, &mut difference);
        }
        let concerned = concerned(&difference, &self.reading.objects);
        drop(difference);
        self.tools.health.queued();
        self.tools.health.node_leaves(report::node_leaves(&self.reading.objects, &self.status.node.name));
        self.follow(&concerned);
        self.conclude();
    }

    /// Probes came to their ends.
    pub fn probed(&mut self, outcomes: Vec<Outcome>) {
        let Some(probes) = &mut self.tools.probes else { return };
        for outcome in &outcomes {
            self.tools.metrics.probed(outcome.result.is_ok());
        }
        let pods = probes.record(outcomes, &mut self.reading.objects);
        if !pods.is_empty() {
            self.tools.health.queued();
            let services = selecting(&self.reading.objects, &pods);
            self.follow(&Concerned::EndpointsOf(services.into_iter().collect()));
            self.conclude();
        } else if probes.not_ready() != self.status.not_ready {
            self.tell();
        }
    }

    /// The machine changed.
    pub fn machine_changed(&mut self, machine: Machine) {
        self.machine = machine;
        // Many a route comes and goes that changes nothing here.
        let changed = self.pipeline.follow_machine(&self.machine, &self.options);
        self.keep_neighbours();
        if changed {
            self.tools.health.queued();
            self.attach();
            self.sync(&Renewed::All, Durations::default());
            self.conclude();
        }
    }

    /// Packets may go other ways now.
    pub fn ways_changed(&mut self) {
        if let Err(error) = self.tools.dataplane.invalidate_next_hops() {
            // A second later the programs look by themselves.
            warn!("the programs do not know yet that routes have changed: {error}");
        }
    }

    /// Neighbours on these links have other link-layer addresses now, or none. Nothing is sent to pods by
    /// what is known of neighbours on their own links.
    pub fn neighbours_changed(&mut self, links: &BTreeSet<u32>) {
        let is_pod =
            |index: &u32| self.pipeline.facts.interfaces.iter().any(|it| it.index == *index && it.is_pod());
        if !links.iter().all(is_pod) {
            self.ways_changed();
            self.tools.neighbours.look();
        }
    }

    /// When to call [`Self::retry`]; `None` while all is well.
    pub fn retry_at(&self) -> Option<Instant> {
        self.pause.end()
    }

    /// Tries again what failed.
    pub fn retry(&mut self) {
        self.attach();
        self.sync(&Renewed::All, Durations::default());
        self.conclude();
    }

    /// Mends what others may have done to the programs and to the kernel's settings.
    pub fn mend(&mut self) {
        self.attach();
        self.tools.health_checks.mend();
        self.conclude();
    }

    /// Deletes some flows that are past their timeout. `true`: those were the last for now.
    pub fn sweep(&mut self) -> bool {
        match self.tools.dataplane.sweep() {
            Ok(Swept { finished: false, .. }) => false,
            Ok(_) => {
                self.tools.neighbours.confirm(self.tools.dataplane.used_neighbours());
                true
            }
            Err(error) => {
                warn!("flows that are past their timeout were not deleted: {error}");
                true
            }
        }
    }

    /// Notices that connections find no source port, and that they find one again.
    pub fn watch_source_ports(&mut self) {
        let Ok(dropped) = self.tools.dataplane.dropped(DropReason::NoSourcePort) else { return };
        if self.exhaustion.observe(dropped, Instant::now()) {
            self.conclude();
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
    pub async fn detach(self) -> anyhow::Result<()> {
        let Tools { state, neighbours, dataplane, .. } = self.tools;
        dataplane.detach()?;
        Probes::forget(&state)?;
        drop(neighbours);
        remove_neighbours().await?;
        for line in restore_sysctls(&state)? {
            warn!("{line}");
        }
        Ok(Status::remove(&state)?)
    }

    /// Has the neighbours kept that go with the machine and the manifests.
    fn keep_neighbours(&mut self) {
        let neighbours = self.pipeline.neighbours(&self.machine);
        if self.neighbours.as_ref() != Some(&neighbours) {
            self.neighbours = Some(neighbours.clone());
            self.tools.neighbours.keep(neighbours);
        }
    }

    /// Brings the maps to a change of the objects.
    fn follow(&mut self, concerned: &Concerned) {
        let start = Instant::now();
        let renewed = self.pipeline.follow(&self.reading.objects, concerned, &self.machine, &self.options);
        let compile = start.elapsed();
        if renewed == Renewed::All {
            self.keep();
        }
        self.keep_neighbours();
        let parse = mem::take(&mut self.reading.took);
        self.sync(&renewed, Durations { parse, compile, ..Durations::default() });
        if renewed == Renewed::All {
            memory::give_back();
        }
    }

    /// Brings the maps to the tables.
    fn sync(&mut self, renewed: &Renewed, durations: Durations) {
        let start = Instant::now();
        let compiled = &self.pipeline.compiled;
        let done = match renewed {
            Renewed::All => self.tools.dataplane.sync(&compiled.tables),
            Renewed::Backends(services) => self.tools.dataplane.sync_backends(&compiled.tables, services),
        };
        let durations = Durations { write: start.elapsed(), ..durations };
        let done = done.and_then(|done| self.tools.dataplane.finish().map(|()| done));

        self.failures.sync = match done {
            Ok(done) => {
                debug!("sync: {} writes, {durations:?}", done.writes);
                if done.udp_backends_gone {
                    self.tools.sockets.look();
                }
                self.findings.tables = done.refusals.iter().map(ToString::to_string).collect();
                self.status.counts = report::counts(compiled);
                if *renewed == Renewed::All {
                    self.status.unserved = report::unserved(&compiled.unserved);
                }
                self.status.last_sync = Some(report::sync(durations, done.writes));
                self.tools.metrics.synced(durations, done.writes);
                None
            }
            Err(error) => {
                self.tools.metrics.sync_failed();
                Some(format!("the services could not be written to the maps: {error}"))
            }
        };

        self.tools.health_checks.serve(&compiled.health_checks, &compiled.nodeport_addresses);
        let addresses = self.pipeline.node_addresses(&self.options);
        if self.attached_for.as_ref() != Some(&self.pipeline.facts)
            || self.node_addresses.as_ref() != Some(&addresses)
        {
            self.node_addresses = Some(addresses);
            self.attach();
        }
    }

    /// Keeps what Services were given, for the next agent.
    fn keep(&mut self) {
        let allocations = &self.pipeline.joined.allocations;
        if *allocations != self.kept || !self.findings.state.is_empty() {
            self.findings.state.clear();
            if let Err(error) = self.tools.state.write_durably(ALLOCATIONS, allocations) {
                self.findings.state.push(format!("given ClusterIPs and nodePorts are not kept: {error}"));
            }
            self.kept.clone_from(allocations);
        }
    }

    /// Attaches the programs to the interfaces that are served, and readies the kernel for them. Not
    /// before the first sync: a program is to find the services when it sees its first packet.
    fn attach(&mut self) {
        let Some(addresses) = &self.node_addresses else { return };
        self.attached_for = Some(self.pipeline.facts.clone());
        self.failures.attach = match self.tools.dataplane.set_interfaces(&self.pipeline.facts, addresses) {
            Ok(attachments) => {
                let interfaces = report::interfaces(&self.pipeline.facts, &attachments);
                report::log_attachments(&self.status.interfaces, &interfaces);
                self.status.interfaces = interfaces;
                None
            }
            Err(error) => Some(format!("the interfaces could not be served: {error}")),
        };
        self.attach_to_sockets();
        let sysctls = &mut self.tools.sysctls;
        self.findings.sysctls = sysctls
            .apply(&self.pipeline.facts.interfaces, &self.options.ports.reserved())
            .unwrap_or_else(|error| vec![format!("no sysctl is set: {error}")]);
        // Somebody may have changed the node's own ports since the start.
        let ports = &self.options.ports;
        let (ephemeral, reserved) = (sysctls.ephemeral_ports(), sysctls.reserved_ports_of_others());
        let misfit = check_ranges(ports.snat, ports.node_ports, ephemeral, &reserved).err();
        self.findings.sysctls.extend(misfit.map(|error| error.to_string()));
    }

    /// Attaches the programs for sockets to the cgroup, or detaches them.
    fn attach_to_sockets(&mut self) {
        let cgroup = self.options.cgroup.as_deref();
        let result = self.tools.dataplane.set_cgroup(cgroup.ok());
        let status = report::socket_lb(cgroup.map_err(String::as_str), result.as_deref());
        if status != self.status.socket_lb {
            report::log_socket_lb(&status);
            self.status.socket_lb = status;
        }
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

        let findings = self.lines();
        let known: HashSet<_> = self.status.findings.iter().collect();
        for finding in findings.iter().filter(|finding| !known.contains(finding)) {
            warn!("{finding}");
        }
        self.tools.metrics.describe(self.status.counts, findings.len());
        self.status.error = error;
        self.status.findings = findings;
        self.status.node.addresses = self.node_addresses.clone().unwrap_or_default();
        self.tell();
    }

    /// Writes down how things are.
    fn tell(&mut self) {
        self.status.not_ready = self.tools.probes.as_ref().map(Probes::not_ready).unwrap_or_default();
        if let Err(error) = self.status.write(&self.tools.state) {
            warn!("the status is not written: {error}");
        }
    }

    /// What is wrong, a line each.
    fn lines(&self) -> Vec<String> {
        let mut wrong = report::findings(&self.reading.findings, self.pipeline.remarks());
        let Findings { tables, sysctls, state } = &self.findings;
        wrong.extend([tables, sysctls, state].into_iter().flatten().cloned());
        wrong.extend(self.exhaustion.finding(self.options.ports.snat));
        wrong.extend(self.tools.sockets.problem());
        wrong.extend(self.tools.health_checks.problems());
        wrong.extend(self.tools.probes.as_ref().and_then(Probes::problem).map(str::to_owned));
        let missing = self.options.roles.missing_uplinks(&self.pipeline.facts.interfaces);
        wrong.extend(missing.map(|name| format!("--uplink {name}: there is no such interface")));
        let Options { ranges, cluster_cidrs, .. } = &self.options;
        wrong.extend(ranges.cluster_ips.iter().filter_map(|range| {
            let other = range_conflict(*range, &self.pipeline.facts.interfaces, cluster_cidrs)?;
            Some(format!(
                "the range of ClusterIPs {range} meets {other}: give another --service-cluster-ip-range"
            ))
        }));
        wrong
    }
}
