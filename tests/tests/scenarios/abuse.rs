//! Those who spoof, forge and send garbage get nothing that they would not have without svc-lb.

use anyhow::{Context, Result};
use etherparse::TcpHeader;
use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use svc_lb::{
    compile::{Family, Protocol},
    dataplane::view::Direction,
};
use svc_lb_common::{
    counters::{
        DropReason::ClusterIpFromUplink,
        Program::{self, TcPodEgress, TcPodIngress, TcUplinkEgress, XdpUplink},
    },
    sctp::chunk::INIT,
};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    conversation::{Connection, Exchange, Standing},
    frame::{Packet, Path},
    garbage::{self, Random, is_addressed_to},
    manifest::TARGET_PORT,
    nftables::policy::forbid,
    plan::{FAMILIES, KINDS},
    programs::{self, Programs},
    sctp::Sctp,
    wire::{Sees, Wire},
    with_and_without_xdp,
};

with_and_without_xdp!(
    spoofed_packets_from_an_uplink_never_meet_a_pods_flow,
    a_pod_reaches_nothing_through_a_frontend_that_a_policy_keeps_from_it,
    a_pod_that_spoofs_another_gets_nothing_through_and_ends_no_connection_of_it,
    garbage_on_the_wire_leaves_no_trace,
);

/// A pod's conversations with a ClusterIP.
struct Conversations {
    tcp: Connection,
    udp: Exchange,
    backend: String,
    cluster_ip: SocketAddr,
}

impl Conversations {
    fn begin(pod: &Host, service: &Service, family: Family) -> Result<Self> {
        let cluster_ip = service.cluster_ip(family);
        let (tcp, udp) = (pod.tcp(cluster_ip).connect()?, pod.udp(cluster_ip).exchange()?);
        let backend = udp.ask()?.by;
        Ok(Self { tcp, udp, backend, cluster_ip })
    }

    fn go_on(&mut self) -> Result<()> {
        self.tcp.echo()?;
        assert_eq!(self.udp.ask()?.by, self.backend);
        Ok(())
    }

    /// What somebody sends who takes part in neither: a data segment, RST, FIN and SYN of the first, a
    /// datagram of the second, as if they came from the pod to an address, or from there to the pod.
    fn spoofed(
        &self,
        macs: ([u8; 6], [u8; 6]),
        address: SocketAddr,
        from_the_pod: bool,
    ) -> Result<Vec<Vec<u8>>> {
        let path = |pod: SocketAddr| {
            let (source, destination) = if from_the_pod { (pod, address) } else { (address, pod) };
            Path { macs, source, destination }
        };
        let of_tcp = path(self.tcp.local()?);
        let header = TcpHeader { sequence_number: 77, window_size: 1000, ..TcpHeader::default() };
        let headers = [
            TcpHeader { ack: true, ..header.clone() },
            TcpHeader { rst: true, ..header.clone() },
            TcpHeader { fin: true, ack: true, ..header.clone() },
            TcpHeader { syn: true, ..header },
        ];
        let mut frames = vec![path(self.udp.local()?).udp(SPOOFED)?];
        for header in headers {
            frames.push(of_tcp.tcp(header, SPOOFED)?);
        }
        Ok(frames)
    }
}

/// The payload of everything spoofed. No server answers it.
const SPOOFED: &[u8] = b"quiet spoofed";

/// Which of the frames is the datagram.
const DATAGRAM: usize = 0;

/// Whether a frame carries that payload.
fn is_spoofed(frame: &[u8]) -> bool {
    Packet::read(frame).is_some_and(|packet| packet.payload == SPOOFED)
}

/// Each flow of the table and its state.
fn flows(rig: &Rig) -> Result<BTreeSet<String>> {
    let keys = ["hook", "protocol", "source", "destination", "rewritten_source", "rewritten_destination"];
    let flows = rig.flows()?;
    let words = flows.iter().map(|flow| keys.iter().chain(&["state"]).map(|key| flow[key].to_string()));
    Ok(words.map(|words| words.collect::<Vec<_>>().join(" ")).collect())
}

fn spoofed_packets_from_an_uplink_never_meet_a_pods_flow(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    let wire = rig.client().wire(Sees::All)?;
    let macs = (rig.client().mac(), rig.node().mac());
    for backend in [&local, &remote] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        for family in FAMILIES {
            let mut conversations = Conversations::begin(&pod, &service, family)?;
            let target = SocketAddr::new(backend.address(family), TARGET_PORT);
            let (at_the_pod, at_the_backend) = (pod.wire(Sees::All)?, backend.wire(Sees::All)?);
            let before = flows(&rig)?;

            // As the pod, to the ClusterIP: dropped, whatever flow the pod has.
            let frames = conversations.spoofed(macs, conversations.cluster_ip, true)?;
            let work = rig.work_of(|| send_through(&rig, &wire, &frames))?;
            assert_eq!(work.drops(ClusterIpFromUplink), frames.len() as u64, "{work:?}");
            assert_eq!((work.forwarded_by(), work.replied_by()), (vec![], vec![]));

            // As the pod to the backend, and as the backend to the pod: no program at an uplink touches
            // them. The host lets nobody pose as who is behind another interface, where it has an
            // rp_filter, which IPv6 has not; beyond that they are what a real backend may send, and the
            // pod's sequence numbers tell.
            let strict = family == Family::V4 && backend.name() == "local";
            for (address, from_the_pod) in [(target, true), (target, false)] {
                let mut frames = conversations.spoofed(macs, address, from_the_pod)?;
                if !strict {
                    frames.remove(DATAGRAM);
                }
                let work = rig.work_of(|| send_through(&rig, &wire, &frames))?;
                let touched_by = [work.forwarded_by(), work.replied_by(), work.dropped_by()].concat();
                assert!(touched_by.iter().all(|by| [TcPodIngress, TcPodEgress].contains(by)), "{work:?}");
                if strict {
                    assert!(work.is_empty(), "{work:?}");
                    assert!(!at_the_pod.drain()?.iter().any(|frame| is_spoofed(frame)));
                    assert_eq!(flows(&rig)?, before);
                }
            }
            assert!(family == Family::V6 || !at_the_backend.drain()?.iter().any(|frame| is_spoofed(frame)));
            conversations.go_on()?;
        }
    }
    Ok(())
}

/// Sends frames from the client, and waits until they are through the node.
fn send_through(rig: &Rig, wire: &Wire, frames: &[Vec<u8>]) -> Result<()> {
    frames.iter().try_for_each(|frame| wire.send(frame))?;
    // What was sent before is through when this is answered.
    FAMILIES.iter().try_for_each(|family| {
        svc_lb_tests::ping::ping(rig.client().namespace(), rig.node().address(*family))
    })
}

fn a_pod_reaches_nothing_through_a_frontend_that_a_policy_keeps_from_it(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (shut_out, let_in) = (rig.pod("shut-out")?, rig.pod("let-in")?);
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    for family in FAMILIES {
        for backend in [&local, &remote] {
            forbid(rig.node().namespace(), shut_out.address(family), backend.address(family))?;
        }
    }
    for backend in [&local, &remote] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        for (family, protocol) in KINDS {
            let backend = SocketAddr::new(backend.address(family), TARGET_PORT);
            for target in [backend, service.cluster_ip(family), rig.node_port(&service, family)] {
                let dial = shut_out.dial(protocol, target).patience(Duration::from_millis(150));
                let error = dial.ask().expect_err("the policy forbids it");
                let in_vain = [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock].contains(&error.kind());
                assert!(in_vain, "{protocol} {target}: {error}");
                let_in.dial(protocol, target).ask().with_context(|| format!("{protocol} {target}"))?;
            }
        }
    }
    Ok(())
}

fn a_pod_that_spoofs_another_gets_nothing_through_and_ends_no_connection_of_it(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (pod, liar) = (rig.pod("pod")?, rig.pod("liar")?);
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let wire = liar.wire(Sees::All)?;
    let gateway = liar_gateway(&rig)?;
    for backend in [&local, &remote] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        for family in FAMILIES {
            let mut conversations = Conversations::begin(&pod, &service, family)?;
            let at_the_backend = backend.wire(Sees::All)?;
            for target in [conversations.cluster_ip, rig.node_port(&service, family)] {
                // In the other's conversation, and in one of its own.
                let mut frames = conversations.spoofed((liar.mac(), gateway), target, true)?;
                let source = SocketAddr::new(pod.address(family), 41000);
                let path = Path { macs: (liar.mac(), gateway), source, destination: target };
                frames.push(path.udp(SPOOFED)?);
                frames.iter().try_for_each(|frame| wire.send(frame))?;
                liar.udp(service.cluster_ip(family)).ask()?;
                // The kernel has no rp_filter for IPv6: there a CNI's own rules keep pods honest, behind
                // the programs as they are before them.
                let arrived = at_the_backend.drain()?.iter().any(|frame| is_spoofed(frame));
                assert!(family == Family::V6 || !arrived, "to {target}");
                conversations.go_on()?;
            }
        }
    }
    Ok(())
}

/// The link-layer address of the node's end of the liar's veth pair.
fn liar_gateway(rig: &Rig) -> Result<[u8; 6]> {
    let veth = svc_lb_tests::pods::veth("liar");
    svc_lb_tests::links::configure(rig.node().namespace(), async |links| links.mac(&veth).await)
}

/// How many frames of garbage each sends.
const WIRE: usize = 3000;

fn garbage_on_the_wire_leaves_no_trace(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (pod, liar) = (rig.pod("pod")?, rig.pod("liar")?);
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let service = Service::number(1).behind([&local, &remote]);
    rig.apply(&[&service])?;
    let mut standing = Vec::new();
    for (family, protocol) in KINDS {
        for _ in 0..2 {
            standing.push(Standing::begin(rig.client(), protocol, rig.node_port(&service, family))?);
            standing.push(Standing::begin(&pod, protocol, service.cluster_ip(family))?);
        }
    }
    let before = flows(&rig)?;
    let mut random = Random::new(1);
    let gateway = liar_gateway(&rig)?;
    // The bridge and its neighbours would answer some garbage: what is meant is the node, so it goes
    // on the uplink's wire itself.
    let uplink = Wire::open(rig.lan(), rig.node().name(), Sees::All)?;
    let from_outside =
        |family| (rig.client(), (rig.client().mac(), rig.node().mac()), rig.node_port(&service, family));
    let from_a_pod = |family| (&liar, (liar.mac(), gateway), service.cluster_ip(family));
    let from_liar = liar.wire(Sees::All)?;
    for family in FAMILIES {
        for (wire, (sender, macs, target)) in
            [(&uplink, from_outside(family)), (&from_liar, from_a_pod(family))]
        {
            let source = SocketAddr::new(sender.address(family), 23456);
            let frames = garbage::frames(&Path { macs, source, destination: target })?;
            for _ in 0..WIRE {
                let frame = random.garble(&frames);
                // What opens a connection is no garbage, and what other protocols make of theirs is
                // not svc-lb's.
                if opening(&frame).is_none() && is_ip(&frame) {
                    wire.send(&frame)?;
                }
            }
        }
    }
    send_through(&rig, &rig.client().wire(Sees::All)?, &[])?;
    assert_eq!(flows(&rig)?, before);
    standing.iter_mut().try_for_each(Standing::go_on)?;
    for (family, protocol) in KINDS {
        rig.client().dial(protocol, rig.node_port(&service, family)).times(4)?;
        liar.dial(protocol, service.cluster_ip(family)).times(4)?;
    }
    Ok(())
}

/// Whether the EtherType of a frame is that of IPv4 or IPv6.
fn is_ip(frame: &[u8]) -> bool {
    matches!(frame.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]))
}

/// Source, destination and protocol of what may open a connection or exchange: also the first fragment of
/// it.
fn opening(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, Protocol)> {
    let whole = garbage::whole(frame).unwrap_or_else(|| frame.to_vec());
    if let Some(sctp) = Sctp::read(&whole) {
        return (sctp.chunk == INIT).then_some((sctp.source, sctp.destination, Protocol::Sctp));
    }
    let packet = Packet::read(&whole)?;
    let opens = packet.tcp.as_ref().is_none_or(|tcp| tcp.syn && !tcp.ack && !tcp.rst && !tcp.fin);
    let protocol = if packet.tcp.is_some() { Protocol::Tcp } else { Protocol::Udp };
    opens.then_some((packet.source, packet.destination, protocol))
}

/// How many frames of garbage each program gets of each family.
const TRIALS: usize = 3000;

#[test]
fn garbage_changes_nothing_but_counters_in_any_program() -> Result<()> {
    Programs::with(|programs| {
        let mut random = Random::new(2);
        let mut openings = BTreeSet::new();
        let mut dropped = 0;
        // First nothing that opens an exchange, then that too.
        for all in [false, true] {
            for (family, (port, program)) in [0, 1]
                .into_iter()
                .flat_map(|family| (40000..).zip(Program::PACKETS).map(move |it| (family, it)))
            {
                let frames = bases(family, port)?;
                for _ in 0..TRIALS {
                    let mut frame = random.garble(&frames);
                    let opening = opening(&frame);
                    if !all && opening.is_some() {
                        continue;
                    }
                    openings.extend(opening);
                    if [Program::TcL3Ingress, Program::TcL3Egress].contains(&program) && random.below(2) == 0
                    {
                        frame.drain(..14);
                    }
                    if Programs::takes(program, &frame) {
                        dropped += u64::from(is_dropped(programs, program, &frame)?);
                    }
                }
            }
            let flows = programs.view()?.flows()?;
            assert!(all || flows.is_empty(), "made by what opens nothing: {flows:?}");
        }
        let view = programs.view()?;
        let statistics = view.statistics()?;
        assert_eq!(statistics.drops.values().sum::<u64>(), dropped);
        assert_eq!(statistics.programs.values().map(|finished| finished.dropped).sum::<u64>(), dropped);
        let flows = view.flows()?;
        assert!(flows.len() >= 2 * 2 * 3 * 3, "the garbage is so bad that nothing was accepted");
        for flow in flows.iter().filter(|flow| flow.direction == Direction::Forward) {
            let protocol = Protocol::from_field(Some(&flow.protocol)).context("an unknown protocol")?;
            let opening = (flow.source, flow.destination, protocol);
            assert!(openings.contains(&opening), "made by what opens nothing: {flow:?}");
        }
        Ok(())
    })
}

/// Frames of a client for the frontend, for a port that it does not serve, and of a backend that nobody
/// asked.
fn bases(family: usize, port: u16) -> Result<Vec<Vec<u8>>> {
    let clients: [IpAddr; 2] = ["198.51.100.7".parse()?, "2001:db8:7::7".parse()?];
    let client = |port| SocketAddr::new(clients[family], port);
    let frontend = |port| SocketAddr::new(programs::FRONTEND[family], port);
    let backend = SocketAddr::new(programs::BACKEND[family], programs::TARGET_PORT);
    let ends =
        [(client(port), frontend(programs::PORT)), (client(port), frontend(9999)), (backend, client(52222))];
    let mut frames = Vec::new();
    for (source, destination) in ends {
        frames.extend(garbage::frames(&Path { macs: (programs::MAC, programs::MAC), source, destination })?);
    }
    Ok(frames)
}

/// Whether a program drops a frame. Else it passes it as it is, unless the frame is for a frontend.
fn is_dropped(programs: &mut Programs, program: Program, frame: &[u8]) -> Result<bool> {
    let (next, drop) = if program == XdpUplink { (2, 1) } else { (-1, 2) };
    let trial = programs.run(program, frame)?;
    let untouched = trial.verdict == next && trial.frame == frame;
    let for_a_frontend = programs::FRONTEND.iter().any(|&address| is_addressed_to(frame, address));
    let egress = [TcUplinkEgress, TcPodEgress, Program::TcL3Egress].contains(&program);
    assert!(untouched || for_a_frontend && !egress, "{}: {frame:02x?} → {trial:02x?}", program.name());
    Ok(trial.verdict == drop)
}
