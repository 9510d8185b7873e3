//! The node of a case: real programs on real interfaces, with the tables of the case.

use crate::{
    case::{Case, Packet},
    connect,
    frame::First,
    network::{Network, POD, UPLINK},
    origin::Origin,
    outcome::Outcome,
};
use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use std::net::IpAddr;
use svc_lb::{
    cluster::{Allocations, Ranges, Service, join},
    compile::{self, Protocol, compile, node_addresses, reach},
    dataplane::{Dataplane, Options},
    node::{Backends, DEFAULT_POD_INTERFACES, Facts, Interface, Machine, Roles, Watcher},
    options::XdpMode,
    source::{Severity, read_text},
};
use svc_lb_common::{counters::Program, snat::PortRange, timeout::Timeouts};
use svc_lb_tests::{Namespace, cgroup::Cgroup, private_run::PrivateRun};

/// Where the maps are pinned.
const PIN_DIR: &str = "/run/bpf/svc-lb";
/// Connections a packet: enough for a list of so many backends, in turn, four times.
const ROUNDS: u16 = 20;
/// The first port of a client: each connection is from another one.
const FIRST_PORT: u16 = 30000;
/// Where node ports are from: anywhere, for the cases' own are not from the default range.
const NODE_PORTS: PortRange = PortRange { first: 1, last: u16::MAX };

/// The flags that are in force from the load of the programs on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flags {
    /// `--service-cluster-ip-range`.
    pub service_ranges: Vec<IpNet>,
    /// `--external-cluster-ips`.
    pub external_cluster_ips: bool,
}

/// A node with its programs loaded. It takes the part of one case after the other.
pub struct Node<'a> {
    namespace: &'a Namespace,
    cgroup: &'a Cgroup,
    dataplane: Dataplane,
    next_port: u16,
}

impl Node<'_> {
    /// Runs something with a node in a network namespace of its own.
    pub fn with<T: Send>(flags: &Flags, inside: impl FnOnce(&mut Node<'_>) -> Result<T> + Send) -> Result<T> {
        let (namespace, run, cgroup) = (Namespace::of_host("node")?, PrivateRun::new()?, Cgroup::new()?);
        namespace.enter(|| {
            run.enter()?;
            let dataplane = Dataplane::open(&Options {
                pin_dir: PIN_DIR.into(),
                // Test runs need no program on the interface, and on veth XDP is not right for all traffic.
                xdp_mode: XdpMode::Off,
                flow_entries: 1 << 16,
                timeouts: Timeouts::default(),
                snat_ports: PortRange { first: 10000, last: 29999 },
                external_cluster_ips: flags.external_cluster_ips,
                own_ranges: flags.service_ranges.clone(),
            })
            .context("cannot load the programs")?;
            inside(&mut Node { namespace: &namespace, cgroup: &cgroup, dataplane, next_port: FIRST_PORT })
        })
    }

    /// Gives the node the network of a case, compiles its objects, and brings tables and programs into force
    /// as the agent does.
    pub fn play<'a>(&'a mut self, case: &Case) -> Result<Stage<'a>> {
        let network = Network::build(self.namespace, case)?;
        let reading = read_text("case.json", &case.manifest());
        let ranges = Ranges::given(&case.node.service_cidrs, NODE_PORTS);
        let joined = join(&reading.objects, &ranges, &Allocations::default());
        let options = compile::Options {
            node_name: case.node.name.clone(),
            nodeport_addresses: case.node.nodeport_addresses.clone(),
            cluster_cidrs: case.node.pod_cidr.into_iter().collect(),
        };
        let roles = Roles::new(&[], &DEFAULT_POD_INTERFACES.map(str::to_owned))?;
        let machine = machine()?;
        let endpoints = joined.cluster.services.iter().flat_map(Service::addresses);
        let backends = Backends::new(&machine, endpoints);
        let facts = roles.assign(&machine, &reach(&joined.cluster, &options), &backends);
        let compiled = compile(&joined.cluster, &facts, &options);
        let findings = reading.findings.into_iter().chain(joined.findings()).chain(compiled.findings());
        let errors = findings.filter(|finding| finding.severity == Severity::Error);

        let report = self.dataplane.sync(&compiled.tables)?;
        ensure!(report.refusals.is_empty(), "tables: {:?}", report.refusals);
        let addresses: Vec<IpAddr> =
            node_addresses(&joined.cluster, &facts, &case.node.name).iter().collect();
        for attachment in self.dataplane.set_interfaces(&facts, &addresses)? {
            let needless = attachment.program == Program::XdpUplink.name();
            ensure!(needless || attachment.by.is_some(), "{attachment:?}");
        }
        let unattached = self.dataplane.set_cgroup(Some(self.cgroup.path()))?;
        ensure!(unattached.is_empty(), "{unattached:?}");
        Ok(Stage {
            errors: errors.map(|finding| finding.to_string()).collect(),
            uplink: served(&facts, UPLINK, Interface::is_uplink)?,
            pods: served(&facts, POD, Interface::is_pod)?,
            cgroup: self.cgroup,
            dataplane: &mut self.dataplane,
            next_port: &mut self.next_port,
            network,
        })
    }
}

/// A node in the part of a case.
pub struct Stage<'a> {
    /// What the agent says is wrong with the objects.
    pub errors: Vec<String>,
    network: Network<'a>,
    uplink: Interface,
    pods: Interface,
    cgroup: &'a Cgroup,
    dataplane: &'a mut Dataplane,
    next_port: &'a mut u16,
}

impl Stage<'_> {
    /// What becomes of a packet, the first of many connections. One from outside is sent with and without XDP,
    /// which must not matter.
    pub fn outcome(&mut self, packet: &Packet, origin: Origin) -> Result<Outcome> {
        match origin {
            Origin::Node => self.node_connects(packet),
            Origin::Pod => self.sent(packet, &[Program::TcPodIngress]),
            Origin::Outside => {
                let outcome = self.sent(packet, &[Program::XdpUplink, Program::TcUplinkIngress])?;
                let without = self.sent(packet, &[Program::TcUplinkIngress])?;
                ensure!(outcome == without, "with XDP {outcome}, without {without}");
                Ok(outcome)
            }
        }
    }

    fn node_connects(&mut self, packet: &Packet) -> Result<Outcome> {
        match packet.protocol()? {
            Protocol::Tcp => {}
            other => bail!("the node's own connections are made by TCP here, not by {other}"),
        }
        let target = (packet.destination, packet.port).into();
        several(|| connect::connect(self.cgroup, self.dataplane, &self.network, target))
    }

    /// Sends a packet through programs, one after the other for as long as they leave it as it is.
    fn sent(&mut self, packet: &Packet, programs: &[Program]) -> Result<Outcome> {
        several(|| {
            let interface = match programs {
                [Program::TcPodIngress] => &self.pods,
                _ => &self.uplink,
            };
            let mac = interface.mac.context("an interface without a link-layer address")?;
            let first = First::new(packet, *self.next_port, mac)?;
            *self.next_port = self.next_port.checked_add(1).context("no client has any port left")?;
            let mut outcome = Outcome::NotHandled;
            for program in programs {
                let trial = self.dataplane.try_packet_at(*program, interface.index, &first.bytes)?;
                outcome = first.outcome(*program, &trial).with_context(|| program.name())?;
                if outcome != Outcome::NotHandled {
                    break;
                }
            }
            Ok(outcome)
        })
    }
}

/// What becomes of so many connections.
fn several(mut one: impl FnMut() -> Result<Outcome>) -> Result<Outcome> {
    let mut all = one()?;
    for _ in 1..ROUNDS {
        all = all.and(one()?).map_err(anyhow::Error::msg)?;
    }
    Ok(all)
}

/// The network that the thread is in, as the agent reads it.
fn machine() -> Result<Machine> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Ok(Watcher::start().await?.machine().clone()) })
}

/// An interface that must have the role that it is there for.
fn served(facts: &Facts, name: &str, has_role: fn(&Interface) -> bool) -> Result<Interface> {
    let interface = facts.interfaces.iter().find(|interface| interface.name == name);
    let interface = interface.with_context(|| format!("there is no {name}"))?;
    ensure!(has_role(interface), "{name}: {:?}", interface.role);
    Ok(interface.clone())
}
