//! A network with an agent on its node: where a scenario begins.

mod reports;

use crate::{
    agent::Agent,
    binary,
    cgroup::Cgroup,
    host::Host,
    links::{self, Links},
    manifest::{self, Service, TARGET_PORT},
    namespace::Namespace,
    network::Network,
    plan::{Addresses, CLUSTER_CIDR, FAMILIES, SERVICE_RANGE, pod_cidr},
    pods::veth,
    private_run::PrivateRun,
    topology::Topology,
    wait::{SOON, until},
    xdp_pass::XdpPass,
};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use svc_lb::compile::Family;

/// Where the agent finds its manifests, in its own `/run`.
const MANIFESTS: &str = "services";

/// Where it pins its programs and maps, there.
const PINS: &str = "bpf/svc-lb";
/// Where it keeps what it knows, there.
const STATE: &str = "state";

/// `--xdp-mode` of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xdp {
    /// XDP in the driver of the uplink.
    Native,
    /// XDP in the stack.
    Generic,
    /// As the agent finds best.
    Auto,
    /// tc alone.
    Off,
}

/// `--socket-lb` of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketLb {
    /// The sockets of the node's processes and of pods are sent straight to backends.
    On,
    /// Packets alone are translated.
    Off,
}

/// `--flow-entries` of the agent, if the scenario says nothing else: its default takes the kernel long to make
/// and to walk, and no scenario has so many flows.
const FLOW_ENTRIES: u32 = 1 << 16;

/// What a rig is to be like.
#[derive(Clone, Debug)]
pub struct Builder {
    topology: Topology,
    xdp: Xdp,
    socket_lb: SocketLb,
    flow_entries: u32,
    flags: Vec<String>,
    masquerade: bool,
    offloads: bool,
    quiet: bool,
}

impl Builder {
    /// How the agent uses XDP. Default: not at all.
    pub fn xdp(mut self, xdp: Xdp) -> Self {
        self.xdp = xdp;
        self
    }

    /// Whether sockets are balanced. Default: not. Where they are, the node's processes and its pods are in a
    /// cgroup of the rig.
    pub fn socket_lb(mut self, socket_lb: SocketLb) -> Self {
        self.socket_lb = socket_lb;
        self
    }

    /// How many entries each flow table has.
    pub fn flow_entries(mut self, entries: u32) -> Self {
        self.flow_entries = entries;
        self
    }

    /// One more flag for the agent.
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// One more flag for the agent, without a value.
    pub fn switch(mut self, name: &str) -> Self {
        self.flags.push(name.to_owned());
        self
    }

    /// The nodes masquerade pods at random ports when they speak to somebody outside the cluster.
    pub fn masquerading(mut self) -> Self {
        self.masquerade = true;
        self
    }

    /// Checksums and segments stay unfinished wherever the kernel leaves them so. Not with native XDP:
    /// a program in the driver never sees such packets on real hardware.
    pub fn with_offloads(mut self) -> Self {
        self.offloads = true;
        self
    }

    /// What the agent prints is not shown.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Builds the network, starts the agent, and waits until it is ready.
    pub fn start(self) -> Result<Rig> {
        let mut network = Network::build(self.topology, self.offloads)?;
        let cgroup = match self.socket_lb {
            SocketLb::On => Some(Arc::new(Cgroup::new()?)),
            SocketLb::Off => None,
        };
        if let Some(cgroup) = &cgroup {
            network.node.run_in(Arc::clone(cgroup));
        }
        if self.masquerade {
            network.masquerade()?;
        }
        let xdp_peers = match self.xdp {
            Xdp::Native => network.lans().map(|lan| XdpPass::attach(lan, network.node.name())).collect(),
            Xdp::Generic | Xdp::Auto | Xdp::Off => Ok(Vec::new()),
        };
        let run = PrivateRun::new()?;
        fs::create_dir(run.path(MANIFESTS))?;
        let rig =
            Rig { network, run, cgroup, settings: self, agent: Mutex::new(None), _xdp_peers: xdp_peers? };
        rig.write(&[])?;
        rig.start_agent()?;
        rig.await_next_hops()?;
        Ok(rig)
    }
}

/// The network, and the agent on its node.
pub struct Rig {
    agent: Mutex<Option<Agent>>,
    network: Network,
    run: PrivateRun,
    cgroup: Option<Arc<Cgroup>>,
    settings: Builder,
    _xdp_peers: Vec<XdpPass>,
}

impl Rig {
    /// A rig of a kind.
    pub fn of(topology: Topology) -> Builder {
        Builder {
            topology,
            xdp: Xdp::Off,
            socket_lb: SocketLb::Off,
            flow_entries: FLOW_ENTRIES,
            flags: Vec::new(),
            masquerade: false,
            offloads: false,
            quiet: false,
        }
    }

    /// The routed rig.
    pub fn routed() -> Builder {
        Self::of(Topology::Routed)
    }

    /// The rig whose pods are ports of a bridge, and whether netfilter sees what that switches.
    pub fn bridged(netfilter: bool) -> Builder {
        Self::of(Topology::Bridged { netfilter })
    }

    /// The rig with a VXLAN between the nodes.
    pub fn vxlan() -> Builder {
        Self::of(Topology::Vxlan)
    }

    /// The rig whose node has an uplink of its own towards the second node.
    pub fn two_uplinks() -> Builder {
        Self::of(Topology::TwoUplinks)
    }

    /// The hosts.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The client, outside the cluster.
    pub fn client(&self) -> &Host {
        &self.network.client
    }

    /// The node.
    pub fn node(&self) -> &Host {
        &self.network.node
    }

    /// The cgroup of the node's processes and pods, where sockets are balanced.
    pub fn cgroup(&self) -> Option<&Arc<Cgroup>> {
        self.cgroup.as_ref()
    }

    /// A new pod on the node. It serves [`TARGET_PORT`], and svc-lb serves it.
    pub fn pod(&self, name: &str) -> Result<Host> {
        self.pod_in(self.cgroup.as_ref(), name)
    }

    /// The same with processes outside of the rig's cgroup: its packets are translated in any case.
    pub fn pod_outside_the_cgroup(&self, name: &str) -> Result<Host> {
        self.pod_in(None, name)
    }

    /// The same with processes in this cgroup.
    pub fn pod_in(&self, cgroup: Option<&Arc<Cgroup>>, name: &str) -> Result<Host> {
        let mut pod = self.network.pod(name)?;
        if let Some(cgroup) = cgroup {
            pod.run_in(Arc::clone(cgroup));
        }
        pod.serve(TARGET_PORT)?;
        self.await_attached(&veth(name))?;
        Ok(pod)
    }

    /// The clients inside the cluster that are served as a pod is: it, and where sockets are balanced the node
    /// itself.
    pub fn internal_clients<'a>(&'a self, pod: &'a Host) -> Vec<&'a Host> {
        match self.settings.socket_lb {
            SocketLb::On => vec![pod, self.node()],
            SocketLb::Off => vec![pod],
        }
    }

    /// A new pod on the second node. It serves [`TARGET_PORT`].
    pub fn remote_pod(&self, name: &str) -> Result<Host> {
        let pod = self.network.remote_pod(name)?;
        pod.serve(TARGET_PORT)?;
        Ok(pod)
    }

    /// Removes a pod of the node, its interface first.
    pub fn remove_pod(&self, pod: Host) -> Result<()> {
        let interface = veth(pod.name());
        links::configure(self.node().namespace(), async |links| links.remove(&interface).await)?;
        drop(pod);
        Ok(())
    }

    /// The node's address with a Service's nodePort.
    pub fn node_port(&self, service: &Service, family: Family) -> SocketAddr {
        SocketAddr::new(self.node().address(family), service.node_port())
    }

    /// Gives the agent these Services and no others, and waits until it serves them.
    pub fn apply(&self, services: &[&Service]) -> Result<()> {
        self.write(services)?;
        let at = self.network.node_towards_clients();
        let wanted = services.iter().flat_map(|service| service.served_at(&at)).collect();
        until("the agent serves the Services", SOON, || Ok((self.served()? == wanted).then_some(())))?;
        self.await_sync()
    }

    /// Gives the agent these Services and no others.
    pub fn write(&self, services: &[&Service]) -> Result<()> {
        let nodes = [(self.node(), 0), (&self.network.node2, 1)].map(|(node, number)| {
            let pods = pod_cidr(number).map(|cidr| cidr.to_string());
            manifest::node(node.name(), node.addresses(), [&pods[0], &pods[1]])
        });
        let services: String = services.iter().map(|service| service.manifest()).collect();
        self.write_file("cluster.yaml", &(nodes.concat() + &services))
    }

    /// Replaces, or adds, a file of manifests.
    pub fn write_file(&self, name: &str, content: &str) -> Result<()> {
        let directory = self.run.path(MANIFESTS);
        let temporary = directory.join(format!(".{name}.new"));
        fs::write(&temporary, content)?;
        Ok(fs::rename(temporary, directory.join(name))?)
    }

    /// Starts the agent, and waits until it is ready.
    pub fn start_agent(&self) -> Result<()> {
        self.start_agent_for(self.cgroup.as_deref())
    }

    /// The same, so that it balances the sockets of another cgroup or, without one, none.
    pub fn start_agent_for(&self, cgroup: Option<&Cgroup>) -> Result<()> {
        let mut command = self.command("run")?;
        let xdp = match self.settings.xdp {
            Xdp::Native => "native",
            Xdp::Generic => "generic",
            Xdp::Auto => "auto",
            Xdp::Off => "off",
        };
        command.args(["--services", &format!("/run/{MANIFESTS}"), "--xdp-mode", xdp]);
        command.args(["--hostname-override", self.node().name(), "--cluster-cidr", CLUSTER_CIDR]);
        command.args(["--service-cluster-ip-range", SERVICE_RANGE]);
        command.args(["--flow-entries", &self.settings.flow_entries.to_string()]);
        command.args(["--socket-lb", if cgroup.is_some() { "on" } else { "off" }]);
        if let Some(cgroup) = cgroup {
            command.arg("--cgroup").arg(cgroup.path());
        }
        if let at @ [_, _, ..] = &*self.network.node_towards_clients() {
            command.args(["--nodeport-addresses", &only(at).join(",")]);
        }
        command.args(&self.settings.flags);
        let mut agent = self.agent();
        ensure!(agent.is_none(), "the agent runs already");
        *agent = Some(Agent::start(command, self.settings.quiet)?);
        Ok(())
    }

    /// Ends the agent by a signal; what it has pinned goes on.
    pub fn stop_agent(&self, signal: Signal) -> Result<ExitStatus> {
        self.agent().take().context("no agent runs")?.end(signal)
    }

    /// Sends the agent a signal.
    pub fn signal_agent(&self, signal: Signal) -> Result<()> {
        self.agent().as_ref().context("no agent runs")?.signal(signal)
    }

    /// Whether anything is pinned.
    pub fn is_pinned(&self) -> bool {
        self.pins().exists()
    }

    /// Where this process finds what the agent pinned.
    pub fn pins(&self) -> PathBuf {
        self.run.path(PINS)
    }

    /// Waits until what the agent does now is done: asked to read once more, it does so afterwards.
    pub fn await_sync(&self) -> Result<()> {
        let last_sync = || Ok::<_, anyhow::Error>(self.status()?.last_sync);
        let before = last_sync()?;
        self.signal_agent(Signal::SIGHUP)?;
        until("another sync", SOON, || Ok((last_sync()? != before).then_some(())))
    }

    /// Waits until svc-lb serves an interface of the node.
    fn await_attached(&self, interface: &str) -> Result<()> {
        until("programs at a new interface", SOON, || {
            let programs = self.attachments(interface)?;
            let all = !programs.is_empty() && programs.iter().all(|program| program.by.is_some());
            Ok(all.then_some(()))
        })
    }

    /// Waits until the agent has had the kernel resolve the node's neighbours: before that, XDP leaves to
    /// tc what goes to them.
    fn await_next_hops(&self) -> Result<()> {
        for family in FAMILIES {
            for neighbour in [&self.network.client, &self.network.node2] {
                let address = neighbour.address(family);
                until(&format!("the node knows the link-layer address of {address}"), SOON, || {
                    let known = async |links: &Links| links.is_resolved(address).await;
                    Ok(links::configure(self.node().namespace(), known)?.then_some(()))
                })?;
            }
        }
        Ok(())
    }

    /// The namespace of the switch that client and node are at.
    pub fn lan(&self) -> &Namespace {
        self.network.lan()
    }

    /// A subcommand in the node's namespaces.
    fn command(&self, subcommand: &str) -> Result<Command> {
        let mut command = Command::new(binary::path()?);
        command.args([
            subcommand,
            "--pin-dir",
            &format!("/run/{PINS}"),
            "--state-dir",
            &format!("/run/{STATE}"),
        ]);
        self.node().namespace().adopt(&mut command);
        self.run.adopt(&mut command);
        Ok(command)
    }

    fn agent(&self) -> MutexGuard<'_, Option<Agent>> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ranges that hold these addresses and no others.
fn only(addresses: &[Addresses]) -> Vec<String> {
    addresses.iter().flat_map(|its| its.with_prefixes(32, 128)).map(|range| range.to_string()).collect()
}
