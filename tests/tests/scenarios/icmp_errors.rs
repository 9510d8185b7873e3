//! ICMP errors about translated packets reach whoever sent those, and speak of what it sent.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
};
use svc_lb::compile::Family;
use svc_lb_common::counters::{
    DropReason,
    Program::{self, TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress},
};
use svc_lb_tests::{
    Host, Rig, Service, Topology, Xdp,
    frame::{Packet, set_hop_limit, verify_checksums},
    icmp::{self, IcmpError, PORT_UNREACHABLE, TIME_EXCEEDED},
    in_every_network,
    manifest::TARGET_PORT,
    plan::FAMILIES,
    wait::{SOON, until},
    wire::{Sees, Wire},
    with_and_without_xdp,
};

in_every_network!(errors_arrive_both_ways);

with_and_without_xdp!(what_a_router_before_the_client_says_reaches_a_remote_backend_under_the_nodes_address);

/// Where the IP header begins.
const IP: usize = 14;

/// A port of backends where nobody listens unless the scenario does.
const QUIET_PORT: u16 = 9;

#[test]
fn checksums_that_nobody_finishes_are_no_obstacle() -> Result<()> {
    carries(&Rig::routed().with_offloads().start()?)
}

fn errors_arrive_both_ways(topology: Topology, xdp: Xdp) -> Result<()> {
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
