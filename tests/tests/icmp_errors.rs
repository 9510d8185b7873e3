//! ICMP errors about translated packets reach whoever sent those, and speak of what it sent.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
};
use svc_lb::compile::{Family, Protocol};
use svc_lb_common::counters::{
    DropReason,
    Program::{self, TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress, XdpUplink},
};
use svc_lb_tests::{
    Host, Rig, Service, Topology, Xdp,
    datagram::fragments,
    frame::{Packet, Path, set_hop_limit, verify_checksums},
    icmp::{self, IcmpError, PORT_UNREACHABLE, TIME_EXCEEDED, TOO_LONG},
    manifest::TARGET_PORT,
    plan::FAMILIES,
    programs::{FRONTEND, MAC, PORT, Programs},
    traceroute::{Hop, traceroute},
    wait::{SOON, until},
    wire::{Sees, Wire},
    with_and_without_xdp,
};

with_and_without_xdp!(
    a_routed_network_carries_errors_both_ways,
    a_bridge_that_netfilter_sees_carries_errors_both_ways,
    a_bridge_that_netfilter_does_not_see_carries_errors_both_ways,
    a_vxlan_carries_errors_both_ways,
    two_uplinks_carry_errors_both_ways,
    what_a_router_before_the_client_says_reaches_a_remote_backend_under_the_nodes_address,
    traceroute_from_outside_shows_the_hops_to_a_backend,
    traceroute_from_a_pod_shows_the_hops_to_a_backend,
);

/// A port of backends where nobody listens unless the scenario does.
const QUIET_PORT: u16 = 9;

fn a_routed_network_carries_errors_both_ways(xdp: Xdp) -> Result<()> {
    carries_errors_both_ways(Topology::Routed, xdp)
}

fn a_bridge_that_netfilter_sees_carries_errors_both_ways(xdp: Xdp) -> Result<()> {
    carries_errors_both_ways(Topology::Bridged { netfilter: true }, xdp)
}

fn a_bridge_that_netfilter_does_not_see_carries_errors_both_ways(xdp: Xdp) -> Result<()> {
    carries_errors_both_ways(Topology::Bridged { netfilter: false }, xdp)
}

fn a_vxlan_carries_errors_both_ways(xdp: Xdp) -> Result<()> {
    carries_errors_both_ways(Topology::Vxlan, xdp)
}

fn two_uplinks_carry_errors_both_ways(xdp: Xdp) -> Result<()> {
    carries_errors_both_ways(Topology::TwoUplinks, xdp)
}

#[test]
fn checksums_that_nobody_finishes_are_no_obstacle() -> Result<()> {
    carries(&Rig::routed().with_offloads().start()?)
}

fn carries_errors_both_ways(topology: Topology, xdp: Xdp) -> Result<()> {
    let rig = Rig::of(topology).xdp(xdp).start()?;
    carries(&rig).with_context(|| topology.to_string())
}

/// Clients hear of backends that do not listen, and backends of clients that are gone.
fn carries(rig: &Rig) -> Result<()> {
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    let outside = rig.client();
    // Who translates what a client hears, and what a backend hears. XDP leaves errors to tc.
    let ways = [
        (outside, &local, TcUplinkEgress, TcUplinkIngress),
        (outside, &remote, TcUplinkIngress, TcUplinkIngress),
        (&pod, &local, TcPodEgress, TcPodIngress),
        (&pod, &remote, TcPodEgress, TcPodIngress),
        (&pod, &pod, TcPodIngress, TcPodIngress),
    ];
    for (client, backend, to_client, to_backend) in ways {
        let service = Service::number(1).and(backend, QUIET_PORT);
        rig.apply(&[&service])?;
        let target = |family| match client.name() {
            "pod" => service.cluster_ip(family),
            _ => rig.node_port(&service, family),
        };
        let way = || format!("{} and {}", client.name(), backend.name());
        let targets = FAMILIES.map(target);
        hears_that_nobody_listens(rig, client, targets, to_client).with_context(way)?;
        hears_that_the_client_is_gone(rig, client, targets, backend, to_backend).with_context(way)?;
    }
    assert_eq!(rig.losses(&[&pod, &local, &remote])?, [] as [String; 0]);
    Ok(())
}

/// The client's socket is refused, what arrived looks as if the frontend had said so, and the flow is as it
/// was.
fn hears_that_nobody_listens(
    rig: &Rig,
    client: &Host,
    targets: [SocketAddr; 2],
    translator: Program,
) -> Result<()> {
    for (target, kind) in targets.into_iter().zip(PORT_UNREACHABLE) {
        let wire = client.wire(Sees::All)?;
        let mut local = None;
        let work = rig.work_of(|| {
            let exchange = client.udp(target).exchange()?;
            local = Some(exchange.local()?);
            let answer = exchange.ask().map_err(|error| error.kind());
            ensure!(answer == Err(io::ErrorKind::ConnectionRefused), "{target}: {answer:?}");
            Ok(())
        })?;
        ensure!(work.replied_by() == [translator], "{target}: {work:?}");
        let error = seen_at(&wire, |error| error.quoted_destination == target)?;
        assert_eq!((error.source, error.kind), (target.ip(), kind));
        assert_eq!(Some(error.quoted_source), local);
        assert_eq!(error.destination, error.quoted_source.ip());
        // An error tells of a flow, and is no packet of it.
        let flows = rig.flows()?;
        let its = |flow: &&Value| flow["source"] == error.quoted_source.to_string();
        let states: Vec<_> = flows.iter().filter(its).map(|flow| &flow["state"]).collect();
        assert_eq!(states, ["unreplied"], "{target}");
    }
    Ok(())
}

/// The next error at a wire that is wanted; its checksums are right.
fn seen_at(wire: &Wire, wanted: impl Fn(&IcmpError) -> bool) -> Result<IcmpError> {
    wire.find(SOON, |frame| {
        let error = IcmpError::read(frame).filter(&wanted)?;
        Some(verify_checksums(frame).map(|()| error))
    })?
}

/// The backend answers once; when the client's socket is closed, the backend's is refused.
fn hears_that_the_client_is_gone(
    rig: &Rig,
    client: &Host,
    targets: [SocketAddr; 2],
    backend: &Host,
    translator: Program,
) -> Result<()> {
    for target in targets {
        let socket = listen(backend)?;
        socket.set_read_timeout(Some(SOON))?;
        let exchange = client.udp(target).exchange()?;
        exchange.send(b"hello")?;
        let (_, peer) = socket.recv_from(&mut [0; 16])?;
        socket.connect(peer)?;
        drop(exchange);
        let work = rig.work_of(|| {
            socket.send(b"anybody there?")?;
            let heard = socket.recv(&mut [0; 16]).map_err(|error| error.kind());
            ensure!(heard == Err(io::ErrorKind::ConnectionRefused), "{target}: {heard:?}");
            Ok(())
        })?;
        ensure!(work.forwarded_by() == [translator], "{target}: {work:?}");
    }
    Ok(())
}

/// A socket at the port where nobody listens otherwise.
fn listen(backend: &Host) -> Result<UdpSocket> {
    until("a free port", SOON, || {
        let bind = || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, QUIET_PORT));
        match backend.namespace().enter(bind) {
            // A process that is being started shares its parent's sockets until its program runs.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            bound => Ok(Some(bound?)),
        }
    })
}

fn what_a_router_before_the_client_says_reaches_a_remote_backend_under_the_nodes_address(
    xdp: Xdp,
) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.remote_pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let (client, node, mut drops) = (rig.client(), rig.node(), 0);
    for (family, kind) in FAMILIES.into_iter().zip(TIME_EXCEEDED) {
        let (wire, arrivals) = (client.wire(Sees::All)?, rig.network().node2.wire(Sees::All)?);
        let target = rig.node_port(&service, family);
        client.udp(target).ask()?;
        let reply = wire.find(SOON, |frame| {
            Packet::read(frame).filter(|packet| packet.source == target).map(|_| frame.to_vec())
        })?;
        let router: IpAddr = if family == Family::V4 { "203.0.113.9" } else { "2001:db8:9::9" }.parse()?;
        let addresses = (router, target.ip());
        let mut error = icmp::message((client.mac(), node.mac()), addresses, kind, &reply[IP..])?;
        wire.send(&error)?;
        let seen = seen_at(&arrivals, |error| error.kind == kind)?;
        let pod = SocketAddr::new(backend.address(family), TARGET_PORT);
        assert_eq!((seen.source, seen.destination), (node.address(family), pod.ip()));
        assert_eq!((seen.quoted_source, seen.quoted_destination.ip()), (pod, node.address(family)));

        // Nobody is told of an error that goes no further.
        set_hop_limit(&mut error, 1)?;
        let work = rig.work_of(|| {
            wire.send(&error)?;
            let before = drops;
            until("a drop", SOON, || {
                drops = rig.counters()?.drops(DropReason::TimeExceeded);
                Ok((drops > before).then_some(()))
            })
        })?;
        assert_eq!((work.dropped_by(), work.rejected_by()), (vec![TcUplinkIngress], vec![]));
        assert_eq!(work.drops(DropReason::TimeExceeded), 1);
    }
    Ok(())
}

fn traceroute_from_outside_shows_the_hops_to_a_backend(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let (node, node2) = (rig.node(), &rig.network().node2);
    for (backend, routers) in [(&local, vec![node]), (&remote, vec![node, node2])] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        let targets = FAMILIES.map(|family| rig.node_port(&service, family));
        shows_the_hops(rig.client(), targets, &routers)?;
    }
    Ok(())
}

fn traceroute_from_a_pod_shows_the_hops_to_a_backend(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    let (node, node2) = (rig.node(), &rig.network().node2);
    for (backend, routers) in [(&local, vec![node]), (&remote, vec![node, node2]), (&pod, vec![node])] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        let targets = FAMILIES.map(|family| service.cluster_ip(family));
        shows_the_hops(&pod, targets, &routers)?;
    }
    Ok(())
}

/// Each router by its own address, then the backend, for both protocols.
fn shows_the_hops(client: &Host, targets: [SocketAddr; 2], routers: &[&Host]) -> Result<()> {
    for target in targets {
        let family = Family::of(target.ip());
        let mut expected: Vec<_> = routers.iter().map(|router| Hop::Router(router.address(family))).collect();
        expected.push(Hop::Arrived);
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            assert_eq!(traceroute(client.namespace(), protocol, target)?, expected, "{protocol} to {target}");
        }
    }
    Ok(())
}

/// A packet from a pod to the frontend, and the same after its translation.
struct Sent {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Sent {
    /// Sends it through the program that makes its flow.
    fn through(programs: &mut Programs, before: Vec<u8>) -> Result<Self> {
        let after = programs.run(TcPodIngress, &before)?.frame;
        ensure!(after != before, "it was not translated");
        Ok(Self { before, after })
    }

    /// Each kind of packet that errors are about, in a family.
    fn all(programs: &mut Programs, family: usize) -> Result<Vec<(&'static str, Self)>> {
        let client: IpAddr = ["198.51.100.7", "2001:db8:7::7"][family].parse()?;
        let path = |port| Path {
            macs: (MAC, MAC),
            source: SocketAddr::new(client, port),
            destination: SocketAddr::new(FRONTEND[family], PORT),
        };
        let mut without_checksum = path(43001).udp(b"no checksum")?;
        let field = IP + [20, 40][family] + 6;
        without_checksum[field..field + 2].fill(0);
        let long = path(43003).udp(&[7; 1000])?;
        let mut packets = vec![
            ("UDP", path(43000).udp(b"hello")?),
            ("TCP", path(43002).syn(1)?),
            ("a first fragment", fragments(&long, 95, 400)?.swap_remove(0)),
        ];
        if family == 0 {
            packets.push(("UDP without a checksum", without_checksum));
        }
        packets.into_iter().map(|(what, before)| Ok((what, Self::through(programs, before)?))).collect()
    }

    fn family(&self) -> usize {
        usize::from(self.before[IP] >> 4 == 6)
    }

    /// The first bytes of the packet: its IP header, with that of a fragment, and so much behind it.
    fn quote(&self, frame: &[u8], behind: usize) -> Vec<u8> {
        let headers = match (self.family(), self.before[IP + 6]) {
            (0, _) => 20,
            (_, 44) => 48,
            _ => 40,
        };
        frame[IP..].iter().copied().take(headers + behind).collect()
    }

    /// An error about it, as it was after its translation.
    fn error(&self, source: IpAddr, kind: (u8, u8), behind: usize) -> Result<Vec<u8>> {
        icmp::message((MAC, MAC), (source, self.sender()?), kind, &self.quote(&self.after, behind))
    }

    /// The address of the pod.
    fn sender(&self) -> Result<IpAddr> {
        Ok(self.whole(&self.before)?.quoted_source.ip())
    }

    /// The address that it was sent on to.
    fn receiver(&self) -> Result<IpAddr> {
        Ok(self.whole(&self.after)?.quoted_destination.ip())
    }

    fn whole(&self, frame: &[u8]) -> Result<IcmpError> {
        // Whatever quotes a packet tells its addresses.
        let anybody = FRONTEND[self.family()];
        let quoting = icmp::message((MAC, MAC), (anybody, anybody), (1, 0), &frame[IP..])?;
        IcmpError::read(&quoting).context("no packet")
    }
}

/// Where the IP header begins.
const IP: usize = 14;

/// What quotes just the ports, the ports and a part of the TCP header, and all of it.
const QUOTED: [usize; 4] = [8, 16, 18, 1000];

#[test]
fn the_quote_is_what_the_sender_sent_and_every_checksum_is_right() -> Result<()> {
    Programs::with(|programs| {
        for family in [0, 1] {
            let router: IpAddr = ["203.0.113.9", "2001:db8:9::9"][family].parse()?;
            for (what, sent) in Sent::all(programs, family)? {
                // What the receiver says comes from the frontend; what a router says, from the router.
                for (source, seen_source) in [(sent.receiver()?, FRONTEND[family]), (router, router)] {
                    for kind in [PORT_UNREACHABLE[family], TIME_EXCEEDED[family], TOO_LONG[family]] {
                        for behind in QUOTED {
                            let error = sent.error(source, kind, behind)?;
                            let trial = programs.run(TcPodEgress, &error)?;
                            let seen = IcmpError::read(&trial.frame).context("no error")?;
                            assert_eq!((seen.source, seen.destination), (seen_source, sent.sender()?));
                            assert_eq!(
                                seen.quote,
                                sent.quote(&sent.before, behind),
                                "{what}, {behind} bytes"
                            );
                            assert_eq!((trial.verdict, seen.kind), (NEXT, kind));
                            verify_checksums(&trial.frame)
                                .with_context(|| format!("{what}, {behind} bytes"))?;
                        }
                    }
                }
            }
        }
        Ok(())
    })
}

#[test]
fn what_is_no_error_about_a_flow_leaves_every_program_as_it_came() -> Result<()> {
    Programs::with(|programs| {
        for family in [0, 1] {
            for (what, sent) in Sent::all(programs, family)? {
                let receiver = sent.receiver()?;
                let error = sent.error(receiver, PORT_UNREACHABLE[family], 8)?;
                for program in [XdpUplink, TcUplinkIngress, TcUplinkEgress, TcPodIngress] {
                    as_it_came(programs, program, &error, "at another hook")?;
                }
                // Echo, redirects, and what has no meaning.
                for kind in [
                    [(0, 0), (8, 0), (5, 1), (4, 0), (99, 0)],
                    [(128, 0), (129, 0), (137, 0), (0, 0), (5, 0)],
                ][family]
                {
                    let error = sent.error(receiver, kind, 8)?;
                    as_it_came(programs, TcPodEgress, &error, &format!("{what}, type {}", kind.0))?;
                }
                // A quote without ports, and one that was not translated.
                for behind in 0..8 {
                    let error = sent.error(receiver, PORT_UNREACHABLE[family], behind)?;
                    as_it_came(programs, TcPodEgress, &error, &format!("{what}, {behind} bytes"))?;
                }
                let untranslated = icmp::message(
                    (MAC, MAC),
                    (receiver, sent.sender()?),
                    PORT_UNREACHABLE[family],
                    &sent.quote(&sent.before, 8),
                )?;
                as_it_came(programs, TcPodEgress, &untranslated, "a packet before its translation")?;
                for length in IP + [20, 40][family]..error.len() {
                    as_it_came(programs, TcPodEgress, &error[..length], &format!("{what}, cut to {length}"))?;
                }
            }
        }
        Ok(())
    })
}

/// A later fragment has no ports, whatever stands where they would be.
#[test]
fn an_error_about_a_later_fragment_leaves_as_it_came() -> Result<()> {
    Programs::with(|programs| {
        for family in [0, 1] {
            for (what, mut sent) in Sent::all(programs, family)? {
                if what != "a first fragment" {
                    continue;
                }
                let offset = [IP + 7, IP + 40 + 3][family];
                sent.after[offset] |= 8;
                let error = sent.error(sent.receiver()?, PORT_UNREACHABLE[family], 8)?;
                as_it_came(programs, TcPodEgress, &error, what)?;
            }
        }
        Ok(())
    })
}

/// `TC_ACT_UNSPEC`.
const NEXT: i32 = -1;

/// The frame leaves a program as it came.
fn as_it_came(programs: &mut Programs, program: Program, frame: &[u8], what: &str) -> Result<()> {
    let trial = programs.run(program, frame)?;
    let next = if program == XdpUplink { 2 } else { NEXT };
    assert_eq!((trial.verdict, trial.frame.as_slice()), (next, frame), "{}: {what}", program.name());
    Ok(())
}
