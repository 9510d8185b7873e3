//! `svc-lb run`: serves until it is asked to stop.

use super::{Run, ServicesOptions, UsageError};
use crate::{
    agent::{Agent, Options, Ports, Tools},
    cluster::Ranges,
    compile,
    dataplane::{self, Dataplane},
    health::Health,
    metrics::{Metrics, Scrapes},
    node::{Change, Keeper, Roles, Sysctls, Watcher, check_ranges, range_conflict},
    server::serve,
    source::FileSource,
    state_dir::{Lock, StateDir},
    status::{self, Status},
};
use anyhow::bail;
use sd_notify::NotifyState;
use std::{
    fs, future,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{self, Instant},
};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// How often programs and settings are looked after.
const MEND_EVERY: Duration = Duration::from_secs(30);
/// How often the flow tables are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
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

    let dataplane = Dataplane::open(&dataplane_options(flags))?;
    let neighbours = Keeper::start()?;
    let tools = Tools { state, sysctls, neighbours, dataplane, health, metrics };
    let agent = Agent::new(agent_options(flags, roles)?, tools, watcher.machine().clone())?;
    let source = FileSource::new(flags.services.clone());
    let agent = follow(agent, source, watcher, scrapes, signals).await?;
    info!("asked to stop");
    if let Err(error) = sd_notify::notify(&[NotifyState::Stopping]) {
        warn!("the supervisor was not told: {error}");
    }
    if flags.detach_on_exit {
        agent.detach().await?;
    }
    Ok(())
}

/// Serves: every event is one step of the agent. Returns when asked to stop.
async fn follow(
    mut agent: Agent,
    mut source: FileSource,
    mut watcher: Watcher,
    mut scrapes: Scrapes,
    mut signals: Signals,
) -> anyhow::Result<Agent> {
    // The first call starts to watch: what is read now and changes later is noticed.
    source.changed().await;
    agent.objects_changed(source.read());
    let mut mend = time::interval_at(Instant::now() + MEND_EVERY, MEND_EVERY);
    let mut next_sweep = Instant::now() + SWEEP_EVERY;
    let mut announced = false;
    loop {
        if let Some(status) = agent.ready().filter(|_| !announced) {
            announce(status);
            announced = true;
        }
        tokio::select! {
            () = source.changed() => agent.objects_changed(source.read()),
            changed = watcher.changed() => {
                match changed? {
                    Change::Ways => agent.ways_changed(),
                    Change::Neighbours(links) => agent.neighbours_changed(&links),
                    Change::Machine => agent.machine_changed(watcher.machine()),
                }
            }
            _ = signals.hangup.recv() => agent.objects_changed(source.read()),
            () = until(agent.retry_at()) => agent.retry(),
            _ = mend.tick() => {
                watcher.mend();
                agent.mend();
            }
            () = time::sleep_until(next_sweep) => {
                let rest = if agent.sweep() { SWEEP_EVERY } else { SWEEP_PAUSE };
                next_sweep = Instant::now() + rest;
            }
            Some(scrape) = scrapes.recv() => scrape.answer(agent.counted()),
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
        }
    }
    Ok(agent)
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
    for range in service_cluster_ip_range {
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
    }
}

fn agent_options(flags: &Run, roles: Roles) -> io::Result<Options> {
    let services = &flags.services_options;
    let mut ranges = Ranges { node_ports: services.service_node_port_range, ..Ranges::default() };
    if !services.service_cluster_ip_range.is_empty() {
        ranges.cluster_ips.clone_from(&services.service_cluster_ip_range);
    }
    Ok(Options {
        ranges,
        cluster_cidrs: services.cluster_cidr.clone(),
        compile: compile::Options {
            node_name: node_name(flags.hostname_override.as_deref())?,
            nodeport_addresses: services.nodeport_addresses.clone(),
        },
        roles,
        ports: Ports { snat: flags.flows.snat_port_range, node_ports: services.service_node_port_range },
    })
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
