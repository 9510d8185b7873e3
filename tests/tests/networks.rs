//! Every kind of network serves every kind of client, and the program that is meant to do the work does
//! it.
//!
//! One started rig serves all scenarios of its network; what went wrong is told at the end, all of it.

use anyhow::{Context, Result, ensure};
use std::{
    io::ErrorKind::ConnectionRefused,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use svc_lb::compile::{Family, Protocol};
use svc_lb_common::counters::Program::{TcPodIngress, TcUplinkIngress, XdpUplink};
use svc_lb_tests::{
    Host, Rig, Service, Topology, Xdp,
    conversation::Answer,
    finishers::{self, Finishers, Line, Scenario, Seen},
    overlay,
    plan::KINDS,
    pods::{BRIDGE, veth},
    with_and_without_xdp,
};

/// How often a client asks on one connection.
const ROUND_TRIPS: usize = 3;

/// How many bytes a TCP client sends, and how many it receives: many segments.
const BULK: usize = 100_000;

/// What "at once" may be on a busy machine. TCP sends its second SYN after twice that time.
const AT_ONCE: Duration = Duration::from_millis(500);

with_and_without_xdp!(
    a_routed_network_is_served,
    a_bridge_that_netfilter_sees_is_served,
    a_bridge_that_netfilter_does_not_see_is_served,
    a_vxlan_is_served,
    two_uplinks_are_served,
);

fn a_routed_network_is_served(xdp: Xdp) -> Result<()> {
    every_scenario_of(Topology::Routed, xdp).map(drop)
}

fn a_bridge_that_netfilter_sees_is_served(xdp: Xdp) -> Result<()> {
    let rig = every_scenario_of(Topology::Bridged { netfilter: true }, xdp)?;
    assert_eq!(rig.attachments(BRIDGE)?, [] as [serde_json::Value; 0]);
    Ok(())
}

fn a_bridge_that_netfilter_does_not_see_is_served(xdp: Xdp) -> Result<()> {
    every_scenario_of(Topology::Bridged { netfilter: false }, xdp).map(drop)
}

fn a_vxlan_is_served(xdp: Xdp) -> Result<()> {
    let rig = every_scenario_of(Topology::Vxlan, xdp)?;
    let attachments = rig.attachments(overlay::INTERFACE)?;
    let refused = attachments.iter().find(|attachment| attachment["program"] == XdpUplink.name());
    let refused = refused.context("no word of XDP")?;
    assert!(refused["by"].is_null() && refused["reason"] != "", "{refused}");
    Ok(())
}

fn two_uplinks_are_served(xdp: Xdp) -> Result<()> {
    every_scenario_of(Topology::TwoUplinks, xdp).map(drop)
}

/// A started rig with what the scenarios need: a Service for each place where a backend can be.
struct Stage {
    rig: Rig,
    xdp: Xdp,
    pod: Host,
    local: Host,
    remote: Host,
    to_pod: Service,
    to_local: Service,
    to_remote: Service,
    to_nobody: Service,
}

impl Stage {
    fn new(topology: Topology, xdp: Xdp) -> Result<Self> {
        let rig = Rig::of(topology).xdp(xdp).masquerading().start()?;
        let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
        let to_pod = Service::number(1).behind([&pod]);
        let to_local = Service::number(2).behind([&local]);
        let to_remote = Service::number(3).behind([&remote]);
        let to_nobody = Service::number(4);
        rig.apply(&[&to_pod, &to_local, &to_remote, &to_nobody])?;
        Ok(Self { rig, xdp, pod, local, remote, to_pod, to_local, to_remote, to_nobody })
    }

    /// The Service of a scenario, and its backend.
    fn service(&self, scenario: Scenario) -> (&Service, Option<&Host>) {
        match scenario {
            Scenario::PodToItself => (&self.to_pod, Some(&self.pod)),
            Scenario::PodToLocal | Scenario::OutsideToLocal => (&self.to_local, Some(&self.local)),
            Scenario::PodToRemote | Scenario::OutsideToRemote => (&self.to_remote, Some(&self.remote)),
            Scenario::PodToNobody | Scenario::OutsideToNobody => (&self.to_nobody, None),
        }
    }

    /// Who asks in a scenario, and which addresses for.
    fn calls(&self, scenario: Scenario, family: Family) -> Vec<(&Host, SocketAddr)> {
        let (service, _) = self.service(scenario);
        let network = self.rig.network();
        let mut frontends: Vec<_> = network
            .node_towards_clients()
            .iter()
            .map(|node| SocketAddr::new(node.of(family), service.node_port()))
            .collect();
        let clients = match scenario {
            Scenario::PodToItself | Scenario::PodToLocal | Scenario::PodToRemote | Scenario::PodToNobody => {
                frontends.push(service.cluster_ip(family));
                vec![&self.pod]
            }
            Scenario::OutsideToLocal | Scenario::OutsideToRemote | Scenario::OutsideToNobody => {
                // The second node stands for any client on its lan.
                vec![&network.client, &network.node2]
            }
        };
        let with_frontends = |client| frontends.iter().map(move |&frontend| (client, frontend));
        clients.into_iter().flat_map(with_frontends).collect()
    }

    /// The address that a backend must see.
    fn seen(&self, seen: Seen, client: &Host, family: Family) -> Option<IpAddr> {
        match seen {
            Seen::Client => Some(client.address(family)),
            Seen::Node => Some(self.rig.node().address(family)),
            Seen::NodeTowardsBackend => Some(self.rig.network().node_towards_remote_pods().of(family)),
            Seen::Nobody => None,
        }
    }

    /// Plays a line of the table for one client.
    fn play(
        &self,
        line: &Line,
        (protocol, family): (Protocol, Family),
        (client, frontend): (&Host, SocketAddr),
    ) -> Result<()> {
        let (service, backend) = self.service(line.scenario);
        let work = self.rig.work_of(|| {
            let Some(backend) = backend else { return refused_at_once(client, protocol, frontend) };
            let answer = converse(client, protocol, frontend)?;
            ensure!(answer.by == backend.name(), "{} answered", answer.by);
            let seen = self.seen(line.seen, client, family);
            ensure!(Some(answer.client.ip()) == seen, "the backend saw {}, not {seen:?}", answer.client);
            Ok(())
        })?;
        let done = (work.forwarded_by(), work.replied_by(), work.rejected_by());
        let (expected, flows) = match line.finishers(self.xdp) {
            Finishers::Translate(forward, reply) => ((vec![forward], vec![reply], vec![]), 1),
            Finishers::Reject(program) => ((vec![], vec![], vec![program]), 0),
        };
        ensure!(done == expected, "forwarded, replied, rejected by {done:?}, not {expected:?}");
        ensure!(work.new_flows(service, protocol, family) == flows, "not {flows} new flows: {work:?}");
        ensure!(work.all_drops() == 0, "dropped: {work:?}");
        Ok(())
    }

    /// The interfaces that are not served as they should be, in words.
    fn strange_roles(&self, topology: Topology) -> Result<Option<String>> {
        let uplinks = self.rig.served_by(TcUplinkIngress)?;
        let pods = self.rig.served_by(TcPodIngress)?;
        let expected = topology.uplinks().iter().map(|&name| name.to_owned()).collect();
        let expected_pods = [&self.pod, &self.local].map(|pod| veth(pod.name())).into();
        let right = (&uplinks, &pods) == (&expected, &expected_pods);
        Ok((!right).then(|| format!("{topology}: uplinks {uplinks:?}, pod interfaces {pods:?}")))
    }
}

/// Plays every scenario in a network, and fails with all that went wrong.
fn every_scenario_of(topology: Topology, xdp: Xdp) -> Result<Rig> {
    let stage = Stage::new(topology, xdp)?;
    let mut failures: Vec<String> = stage.strange_roles(topology)?.into_iter().collect();
    for line in finishers::of(topology) {
        for (family, protocol) in KINDS {
            for call in stage.calls(line.scenario, family) {
                if let Err(error) = stage.play(&line, (protocol, family), call) {
                    let (client, frontend) = (call.0.name(), call.1);
                    let scenario = line.scenario;
                    failures.push(format!(
                        "{topology}, {xdp:?}: {scenario}: {client} to {frontend}, {protocol} {family}: {error:#}"
                    ));
                }
            }
        }
    }
    failures.extend(stage.rig.losses(&[&stage.pod, &stage.local, &stage.remote])?);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(stage.rig)
}

/// Asks several times on one connection; TCP sends and receives many segments besides.
fn converse(client: &Host, protocol: Protocol, frontend: SocketAddr) -> Result<Answer> {
    match protocol {
        Protocol::Tcp => {
            let mut connection = client.tcp(frontend).connect()?;
            for _ in 0..ROUND_TRIPS {
                connection.echo()?;
            }
            connection.upload(BULK)?;
            connection.download(BULK)?;
            Ok(connection.answer().clone())
        }
        Protocol::Udp => {
            let exchange = client.udp(frontend).exchange()?;
            let answer = exchange.ask()?;
            for _ in 1..ROUND_TRIPS {
                let next = exchange.ask()?;
                ensure!(next == answer, "first {answer:?}, then {next:?}");
            }
            Ok(answer)
        }
    }
}

fn refused_at_once(client: &Host, protocol: Protocol, frontend: SocketAddr) -> Result<()> {
    match client.dial(protocol, frontend).patience(AT_ONCE).ask() {
        Err(error) if error.kind() == ConnectionRefused => Ok(()),
        other => anyhow::bail!("not refused at once: {other:?}"),
    }
}
