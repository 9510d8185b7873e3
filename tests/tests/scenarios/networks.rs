//! Every kind of network serves every kind of client, and the program that is meant to do the work does
//! it.
//!
//! One started rig serves all scenarios of its network; what went wrong is told at the end, all of it.

use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::BTreeMap,
    io::ErrorKind::ConnectionRefused,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use svc_lb::{
    compile::{Family, Protocol},
    dataplane::view::Flow,
};
use svc_lb_common::counters::Program::{TcPodIngress, TcUplinkIngress};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb, Topology, Xdp,
    conversation::Answer,
    finishers::{self, Finishers, Line, Origin, Place, Seen},
    handshakes,
    manifest::TARGET_PORT,
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
    assert_eq!(rig.attachments(BRIDGE)?, []);
    Ok(())
}

fn a_bridge_that_netfilter_does_not_see_is_served(xdp: Xdp) -> Result<()> {
    every_scenario_of(Topology::Bridged { netfilter: false }, xdp).map(drop)
}

fn a_vxlan_is_served(xdp: Xdp) -> Result<()> {
    let rig = every_scenario_of(Topology::Vxlan, xdp)?;
    let refused = rig.xdp_attachment(overlay::INTERFACE)?;
    assert!(refused.by.is_none() && !refused.reason.is_empty(), "{refused:?}");
    Ok(())
}

fn two_uplinks_are_served(xdp: Xdp) -> Result<()> {
    every_scenario_of(Topology::TwoUplinks, xdp).map(drop)
}

/// A started rig with what the scenarios need: a Service for each place where a backend can be.
struct Stage {
    rig: Rig,
    xdp: Xdp,
    /// Its sockets are not balanced.
    pod: Host,
    /// Its sockets are.
    member: Host,
    local: Host,
    remote: Host,
    services: Vec<(Place, Service)>,
    of_member: Service,
}

impl Stage {
    fn new(topology: Topology, xdp: Xdp) -> Result<Self> {
        let rig = Rig::of(topology).xdp(xdp).socket_lb(SocketLb::On).masquerading().start()?;
        rig.node().serve(TARGET_PORT)?;
        rig.network().node2.serve(TARGET_PORT)?;
        let (pod, member) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?);
        let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
        let of_member = Service::number(0).behind([&member]);
        let mut stage = Self { rig, xdp, pod, member, local, remote, services: Vec::new(), of_member };
        let service = |(number, place)| (place, Service::number(number).behind(stage.backend(place)));
        stage.services = (1..).zip(Place::ALL).map(service).collect();
        let services = stage.services.iter().map(|(_, service)| service).chain([&stage.of_member]);
        stage.rig.apply(&services.collect::<Vec<_>>())?;
        Ok(stage)
    }

    fn backend(&self, place: Place) -> Option<&Host> {
        match place {
            Place::SamePod => Some(&self.pod),
            Place::LocalPod => Some(&self.local),
            Place::RemotePod => Some(&self.remote),
            Place::Node => Some(self.rig.node()),
            Place::OtherNode => Some(&self.rig.network().node2),
            Place::Nowhere => None,
        }
    }

    /// The Service of a scenario, and the host behind it.
    fn service(&self, line: &Line) -> (&Service, Option<&Host>) {
        if (line.from, line.to) == (Origin::PodSocket, Place::SamePod) {
            return (&self.of_member, Some(&self.member));
        }
        let found = self.services.iter().find(|(its, _)| *its == line.to);
        (&found.expect("every place has a Service").1, self.backend(line.to))
    }

    /// Who asks in a scenario, and which addresses for.
    fn calls(&self, line: &Line, family: Family) -> Vec<(&Host, SocketAddr)> {
        let ((service, _), network) = (self.service(line), self.rig.network());
        let nodes = network.node_towards_clients();
        let node_ports = nodes.iter().map(|node| SocketAddr::new(node.of(family), service.node_port()));
        let internal = node_ports.clone().chain([service.cluster_ip(family)]).collect();
        let (clients, frontends): (Vec<&Host>, Vec<_>) = match line.from {
            Origin::Pod => (vec![&self.pod], internal),
            Origin::PodSocket => (vec![&self.member], internal),
            Origin::NodeSocket => (vec![&network.node], internal),
            // The second node stands for any client on its lan.
            Origin::Outside => (vec![&network.client, &network.node2], node_ports.collect()),
        };
        let with_frontends = |client| frontends.iter().map(move |&frontend| (client, frontend));
        clients.into_iter().flat_map(with_frontends).collect()
    }

    /// Whether the backend may see an address.
    fn may_see(&self, line: &Line, client: &Host, seen: IpAddr) -> bool {
        let network = self.rig.network();
        let addresses = match (line.seen, line.to) {
            (Seen::Client, _) => return client.has(seen),
            (Seen::Node, _) => network.node.addresses(),
            (Seen::NodeTowardsBackend, Place::RemotePod) => network.node_towards_remote_pods(),
            (Seen::NodeTowardsBackend, _) => network.node_towards_node2(),
            (Seen::Nobody, _) => return false,
        };
        addresses.of(Family::of(seen)) == seen
    }

    /// Plays a line of the table: every client, every address. All of it is counted at once, because to read
    /// the counters takes longer than the calls.
    fn play(&self, line: &Line, protocol: Protocol, family: Family) -> Result<()> {
        let calls = self.calls(line, family);
        let repeated_before = repeated_handshakes(&calls)?;
        let work = self.rig.work_of(|| {
            calls.iter().try_for_each(|(client, frontend)| {
                let call = || format!("{} to {frontend}", client.name());
                self.call(line, protocol, client, *frontend).with_context(call)
            })
        })?;
        let done = (work.forwarded_by(), work.replied_by(), work.rejected_by());
        let connecting = finishers::connecting(family);
        let (expected, flows, sockets) = match line.finishers(self.xdp) {
            Finishers::Translate(forward, reply) => ((vec![forward], vec![reply], vec![]), calls.len(), 0),
            Finishers::Reject(program) => ((vec![], vec![], vec![program]), 0, 0),
            Finishers::Connect => ((vec![connecting], vec![], vec![]), 0, calls.len()),
            Finishers::Refuse => ((vec![], vec![], vec![connecting]), 0, 0),
        };
        ensure!(done == expected, "forwarded, replied, rejected by {done:?}, not {expected:?}");
        let (service, _) = self.service(line);
        let new_flows = work.new_flows(service, protocol, family);
        let repeated = repeated_handshakes(&calls)? - repeated_before;
        if !(flows as u64..=flows as u64 + repeated).contains(&new_flows) {
            bail!("{new_flows} new flows, not {flows}: {work:?}, {:#?}", self.flows_of(service)?);
        }
        let connected = work.socket_connections(service, protocol, family);
        ensure!(connected == sockets as u64, "not {sockets} sockets: {work:?}");
        ensure!(work.all_drops() == 0, "dropped: {work:?}");
        Ok(())
    }

    /// The flows of a Service.
    fn flows_of(&self, service: &Service) -> Result<Vec<Flow>> {
        let mut flows = self.rig.view()?.flows()?;
        flows.retain(|flow| flow.service.as_ref().is_some_and(|name| name.contains(&service.name())));
        Ok(flows)
    }

    fn call(&self, line: &Line, protocol: Protocol, client: &Host, frontend: SocketAddr) -> Result<()> {
        let (_, Some(backend)) = self.service(line) else {
            return refused_at_once(client, protocol, frontend);
        };
        let answer = converse(client, protocol, frontend)?;
        ensure!(answer.by == backend.name(), "{} answered", answer.by);
        let seen = answer.client.ip();
        ensure!(self.may_see(line, client, seen), "the backend saw {seen}, not {}", line.seen);
        Ok(())
    }

    /// The interfaces that are not served as they should be, in words.
    fn strange_roles(&self, topology: Topology) -> Result<Option<String>> {
        let uplinks = self.rig.served_by(TcUplinkIngress)?;
        let pods = self.rig.served_by(TcPodIngress)?;
        let expected = topology.uplinks().iter().map(|&name| name.to_owned()).collect();
        let expected_pods = [&self.pod, &self.member, &self.local].map(|pod| veth(pod.name())).into();
        let right = (&uplinks, &pods) == (&expected, &expected_pods);
        Ok((!right).then(|| format!("{topology}: uplinks {uplinks:?}, pod interfaces {pods:?}")))
    }
}

/// Plays every scenario in a network, and fails with all that went wrong.
fn every_scenario_of(topology: Topology, xdp: Xdp) -> Result<Rig> {
    let stage = Stage::new(topology, xdp)?;
    let mut failures: Vec<String> = stage.strange_roles(topology)?.into_iter().collect();
    // Where no packet is touched XDP makes no difference, and the scenarios take their time.
    let makes_a_difference = |line: &Line| {
        !matches!(line.finishers(xdp), Finishers::Connect | Finishers::Refuse) || xdp == Xdp::Off
    };
    for line in finishers::of(topology).filter(makes_a_difference) {
        for (family, protocol) in KINDS {
            if let Err(error) = stage.play(&line, protocol, family) {
                let (from, to) = (line.from, line.to);
                failures.push(format!(
                    "{topology}, {xdp:?}: {from}, backend: {to}, {protocol} {family}: {error:#}"
                ));
            }
        }
    }
    failures.extend(stage.rig.losses(&[&stage.pod, &stage.member, &stage.local, &stage.remote])?);
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
            // Nothing more comes later, and would be counted for another conversation.
            connection.send("bye")?;
            connection.await_end()?;
            Ok(connection.answer().clone())
        }
        Protocol::Udp | Protocol::Sctp => {
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

/// How many handshakes the clients have repeated so far: one that was late makes a flow anew.
fn repeated_handshakes(calls: &[(&Host, SocketAddr)]) -> Result<u64> {
    let clients: BTreeMap<_, _> =
        calls.iter().map(|(client, _)| (client.name(), client.namespace())).collect();
    clients.into_values().map(handshakes::repeated).sum()
}

fn refused_at_once(client: &Host, protocol: Protocol, frontend: SocketAddr) -> Result<()> {
    match client.dial(protocol, frontend).patience(AT_ONCE).ask() {
        Err(error) if error.kind() == ConnectionRefused => Ok(()),
        other => anyhow::bail!("not refused at once: {other:?}"),
    }
}
