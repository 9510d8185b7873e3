//! `svc-lb run`: serves until it is asked to stop.

use super::{Run, ServicesOptions, Sockets, UsageError};
use crate::{
    agent::{Agent, Options, Ports, Tools, keep_no_buffers},
    cluster::Ranges,
    compile,
    dataplane::{self, Dataplane},
    health::Health,
    health_check::HealthChecks,
    metrics::{Metrics, Scrapes},
    node::{
        Change, Closer, Keeper, Machine, NodeError, Roles, Sysctls, Watcher, check_cgroup, check_ranges,
        range_conflict, root_cgroup,
    },
    options::Switch,
    probe::{Outcomes, Probes},
    server::serve,
    source::{Family, FileSource},
    state_dir::{Lock, StateDir},
    status::{self, Status},
};
use anyhow::{Context, bail};
use sd_notify::NotifyState;
use std::{
    collections::BTreeSet,
    fs, future,
    io::{self, IsTerminal, Write},
    panic,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{self, Instant},
};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// How often programs and settings are looked after.
const MEND_EVERY: Duration = Duration::from_secs(30);
/// How often the flow tables are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How often it is counted what was dropped for want of a source port.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// How long to rest between two steps of a sweep.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
/// How long to wait for an agent that is about to end.
const TAKEOVER: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
pub fn run(flags: &Run) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(start_and_serve(flags))?;
    Ok(ExitCode::SUCCESS)
}

async fn start_and_serve(flags: &Run) -> anyhow::Result<()> {
    // First of all, so that no signal is missed.
    let signals = Signals::new()?;
    if flags.services.is_empty() {
        bail!(UsageError("--services names no file".to_owned()));
    }
    let roles = Roles::new(&flags.interfaces.uplink, &flags.interfaces.pod_interface)
        .map_err(|error| UsageError(format!("--pod-interface: {error}")))?;
    let state = StateDir::new(&flags.directories.state_dir);
    let _lock = lock(&state).await?;
    let sysctls = Sysctls::open(state.clone(), flags.set_sysctls)?;
    let watcher = Watcher::start().await?;
    check_against_node(flags, &sysctls, &watcher)?;

    let health = Health::default();
    let (metrics, scrapes) = Metrics::new();
    if let Some(address) = flags.healthz_bind_address.0 {
        serve("--healthz-bind-address", address, health.router()).await?;
    }
    if let Some(address) = flags.metrics_bind_address.0 {
        serve("--metrics-bind-address", address, metrics.router()).await?;
    }

    let cgroup = cgroup(&flags.sockets)?;
    keep_no_buffers();
    let mut source = FileSource::new(flags.services.clone());
    // The first call starts to watch: what is read now and changes later is noticed.
    source.changed().await;
    let (first, dataplane) = meanwhile(|| source.read_first(), || Dataplane::open(&dataplane_options(flags)));
    let mut dataplane = dataplane?;
    let neighbours = Keeper::start()?;
    let sockets = Closer::start(dataplane.lost_sockets())?;
    let (probes, outcomes) = probes(flags.services_options.probe, &state)?;
    let health_checks = HealthChecks::new(health.clone());
    let tools =
        Tools { state, sysctls, neighbours, sockets, dataplane, probes, health, health_checks, metrics };
    let mut agent = Agent::new(agent_options(flags, roles, cgroup)?, tools, watcher.machine().clone())?;
    agent.begin(first);
    let agent = follow(agent, source, watcher, outcomes, scrapes, signals).await?;
    info!("asked to stop");
    if let Err(error) = sd_notify::notify(&[NotifyState::Stopping]) {
        warn!("the supervisor was not told: {error}");
    }
    if flags.detach_on_exit {
        agent.detach().await?;
    }
    Ok(())
}

/// Does two things at once that take long: the kernel verifies the programs while the manifests are parsed.
fn meanwhile<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap_or_else(|panic| panic::resume_unwind(panic)), other)
    })
}

/// Serves: every event is one step of the agent. Returns when asked to stop.
async fn follow(
    mut agent: Agent,
    mut source: FileSource,
    watcher: Watcher,
    mut outcomes: Outcomes,
    mut scrapes: Scrapes,
    mut signals: Signals,
) -> anyhow::Result<Agent> {
    let mut mend = time::interval_at(Instant::now() + MEND_EVERY, MEND_EVERY);
    let mut count = time::interval(COUNT_EVERY);
    let mut next_sweep = Instant::now() + SWEEP_EVERY;
    let (changes, mut changed) = mpsc::channel(1);
    let (mends, mended) = mpsc::channel(1);
    // A reading takes as long as it takes: here, an event that came first would end it each time.
    let watching = tokio::spawn(watch(watcher, changes, mended));
    let mut announced = false;
    loop {
        if let Some(status) = agent.ready().filter(|_| !announced) {
            announce(status);
            announced = true;
        }
        tokio::select! {
            () = source.changed() => agent.objects_changed(&mut source),
            change = changed.recv() => match change.context("nobody follows the interfaces any more")? {
                Seen::Ways => agent.ways_changed(),
                Seen::Neighbours(links) => agent.neighbours_changed(&links),
                Seen::Machine(machine) => agent.machine_changed(machine),
                Seen::Failed(error) => return Err(error.into()),
            },
            Some(outcomes) = outcomes.recv() => agent.probed(outcomes),
            _ = signals.hangup.recv() => agent.objects_changed(&mut source),
            () = until(agent.retry_at()) => agent.retry(),
            _ = mend.tick() => {
                // A mend that still waits is as good as another.
                let _ = mends.try_send(());
                agent.mend();
            }
            _ = count.tick() => agent.watch_source_ports(),
            () = time::sleep_until(next_sweep) => {
                let rest = if agent.sweep() { SWEEP_EVERY } else { SWEEP_PAUSE };
                next_sweep = Instant::now() + rest;
            }
            Some(scrape) = scrapes.recv() => scrape.answer(agent.counted()),
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
        }
    }
    watching.abort();
    Ok(agent)
}

/// What the watcher has seen.
enum Seen {
    Ways,
    Neighbours(BTreeSet<u32>),
    Machine(Machine),
    Failed(NodeError),
}

/// Tells what changes, until nobody listens.
async fn watch(mut watcher: Watcher, changes: mpsc::Sender<Seen>, mut mends: mpsc::Receiver<()>) {
    loop {
        let change = tokio::select! {
            change = watcher.changed() => change,
            Some(()) = mends.recv() => {
                watcher.mend();
                continue;
            }
        };
        let seen = match change {
            Ok(Change::Ways) => Seen::Ways,
            Ok(Change::Neighbours(links)) => Seen::Neighbours(links),
            Ok(Change::Machine) => Seen::Machine(watcher.machine().clone()),
            Err(error) => Seen::Failed(error),
        };
        let failed = matches!(seen, Seen::Failed(_));
        if changes.send(seen).await.is_err() || failed {
            return;
        }
    }
}

/// Waits for a moment, or forever.
async fn until(moment: Option<std::time::Instant>) {
    match moment {
        Some(moment) => time::sleep_until(moment.into()).await,
        None => future::pending().await,
    }
}

/// What people and supervisors say to the agent.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Tells whoever started the agent that it serves. Nobody has to listen.
fn announce(status: &Status) {
    let told = writeln!(io::stdout(), "{}", readiness(status));
    let notified = sd_notify::notify(&[NotifyState::Ready]);
    for error in [told.err(), notified.err()].into_iter().flatten() {
        warn!("the agent is ready, but cannot say so: {error}");
    }
}

/// What is served, in one line.
fn readiness(status: &Status) -> String {
    let names = |role: status::Role| {
        let of_role = status.interfaces.iter().filter(move |interface| interface.role == role);
        of_role.map(|interface| interface.name.as_str())
    };
    let uplinks: Vec<&str> = names(status::Role::Uplink).collect();
    format!(
        "svc-lb ready: node {}, service ports: {}, frontends: {}, backends: {}, uplinks: {}, pod interfaces: {}",
        status.node.name,
        status.counts.service_ports,
        status.counts.frontends,
        status.counts.backends,
        if uplinks.is_empty() { "none".to_owned() } else { uplinks.join(" ") },
        names(status::Role::Pod).count(),
    )
}

/// Refuses flags that do not go with this node.
fn check_against_node(flags: &Run, sysctls: &Sysctls, watcher: &Watcher) -> Result<(), UsageError> {
    let node_ports = flags.services_options.service_node_port_range;
    check_ranges(
        flags.flows.snat_port_range,
        node_ports,
        sysctls.ephemeral_ports(),
        &sysctls.reserved_ports_of_others(),
    )
    .map_err(|error| UsageError(error.to_string()))?;
    let ServicesOptions { service_cluster_ip_range, cluster_cidr, .. } = &flags.services_options;
    for (index, range) in service_cluster_ip_range.iter().enumerate() {
        let family = Family::of(range.addr());
        if service_cluster_ip_range[..index].iter().any(|other| Family::of(other.addr()) == family) {
            return Err(UsageError(format!(
                "--service-cluster-ip-range {range} is a second one of {family}: give at most one of each family"
            )));
        }
        if let Some(other) = range_conflict(*range, &watcher.machine().interfaces, cluster_cidr) {
            return Err(UsageError(format!(
                "--service-cluster-ip-range {range} meets {other}: choose another"
            )));
        }
    }
    Ok(())
}

/// Becomes the one agent of a state directory.
async fn lock(state: &StateDir) -> anyhow::Result<Lock> {
    let give_up = Instant::now() + TAKEOVER;
    loop {
        if let Some(lock) = state.try_lock()? {
            return Ok(lock);
        }
        if Instant::now() > give_up {
            bail!("another agent runs with --state-dir {}", state.path().display());
        }
        time::sleep(Duration::from_millis(50)).await;
    }
}

fn dataplane_options(flags: &Run) -> dataplane::Options {
    dataplane::Options {
        pin_dir: flags.directories.pin_dir.clone(),
        xdp_mode: flags.interfaces.xdp_mode,
        flow_entries: flags.flows.flow_entries,
        timeouts: flags.flows.timeouts(),
        snat_ports: flags.flows.snat_port_range,
        external_cluster_ips: flags.services_options.external_cluster_ips,
        own_ranges: flags.services_options.service_cluster_ip_range.clone(),
    }
}

fn agent_options(flags: &Run, roles: Roles, cgroup: Result<PathBuf, String>) -> io::Result<Options> {
    let services = &flags.services_options;
    Ok(Options {
        ranges: Ranges::given(&services.service_cluster_ip_range, services.service_node_port_range),
        cluster_cidrs: services.cluster_cidr.clone(),
        compile: compile::Options {
            node_name: node_name(flags.hostname_override.as_deref())?,
            nodeport_addresses: services.nodeport_addresses.clone(),
            cluster_cidrs: services.cluster_cidr.clone(),
        },
        roles,
        cgroup,
        ports: Ports { snat: flags.flows.snat_port_range, node_ports: services.service_node_port_range },
    })
}

/// The probes, if they are run, and where to find what comes of them.
fn probes(switch: Switch, state: &StateDir) -> anyhow::Result<(Option<Probes>, Outcomes)> {
    match switch {
        Switch::On => {
            let (probes, outcomes) = Probes::start(state.clone())?;
            Ok((Some(probes), outcomes))
        }
        Switch::Off => {
            Probes::forget(state)?;
            Ok((None, mpsc::channel(1).1))
        }
    }
}

/// The cgroup whose processes are sent straight to backends, or why there is none.
fn cgroup(flags: &Sockets) -> anyhow::Result<Result<PathBuf, String>> {
    if flags.socket_lb == Some(Switch::Off) {
        return Ok(Err("--socket-lb is off".to_owned()));
    }
    if let Some(path) = &flags.cgroup {
        check_cgroup(path).map_err(|error| UsageError(error.to_string()))?;
        return Ok(Ok(path.to_owned()));
    }
    match root_cgroup().context("cannot tell whether cgroup v2 is mounted")? {
        Some(path) => Ok(Ok(path)),
        None if flags.socket_lb == Some(Switch::On) => Err(UsageError(
            "--socket-lb on: cgroup v2 is not mounted: mount it (mount -t cgroup2 none /sys/fs/cgroup)"
                .to_owned(),
        )
        .into()),
        None => Ok(Err("cgroup v2 is not mounted".to_owned())),
    }
}

/// The name of this node's Node: like the kubelet's, the host's name in lower case, if none is given.
fn node_name(given: Option<&str>) -> io::Result<String> {
    let name = match given {
        Some(name) => name.to_owned(),
        None => fs::read_to_string("/proc/sys/kernel/hostname")?,
    };
    Ok(name.trim().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_named_like_the_host_unless_told_otherwise() {
        assert_eq!(node_name(Some(" Worker-1 ")).expect("a name"), "worker-1");
        let host = node_name(None).expect("a name");
        assert!(!host.is_empty() && host == host.to_lowercase());
    }
}
