//! Every packet leaves with the right checksums, computed from scratch where it arrives.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    frame::{Packet, Path, verify_checksums},
    plan::FAMILIES,
    wait::SOON,
    wire::{Sees, Wire},
    with_and_without_xdp,
};

/// In the range for SNAT, so that it stays, and what arrives can be foretold.
const PORT: u16 = 20000;

with_and_without_xdp!(
    payloads_of_every_length_up_to_a_segment_arrive_by_udp,
    a_udp_checksum_of_zero_stays_zero,
    a_udp_checksum_that_comes_out_as_zero_is_sent_as_ffff,
    every_packet_of_a_connection_has_right_checksums,
);

/// Runs something with a local backend, and with a remote one.
fn with_each_backend(xdp: Xdp, check: impl Fn(&Rig, &Service, &Host) -> Result<()>) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    for backend in [rig.pod("local")?, rig.remote_pod("remote")?] {
        let service = Service::number(1).behind([&backend]);
        rig.apply(&[&service])?;
        check(&rig, &service, &backend).with_context(|| format!("with a {} backend", backend.name()))?;
        assert_eq!(rig.losses(&[&backend])?, [] as [String; 0]);
    }
    Ok(())
}

fn payloads_of_every_length_up_to_a_segment_arrive_by_udp(xdp: Xdp) -> Result<()> {
    with_each_backend(xdp, |rig, service, _| {
        for family in FAMILIES {
            let exchange = rig.client().udp(rig.node_port(service, family)).exchange()?;
            for length in 1..1400_usize {
                let payload: Vec<u8> = (0..length).map(|n| (n * 31 + length) as u8).collect();
                exchange.ask_with(&payload).with_context(|| format!("{family}, {length} bytes"))?;
            }
        }
        Ok(())
    })
}

fn a_udp_checksum_of_zero_stays_zero(xdp: Xdp) -> Result<()> {
    with_each_backend(xdp, |rig, service, backend| {
        let path = path(rig, rig.node_port(service, Family::V4));
        let mut frame = path.udp(b"no checksum")?;
        // Behind Ethernet, IPv4, two ports and the length.
        frame[40..42].fill(0);
        assert_eq!(sent_through(rig, backend, &frame)?.checksum, 0);
        Ok(())
    })
}

fn a_udp_checksum_that_comes_out_as_zero_is_sent_as_ffff(xdp: Xdp) -> Result<()> {
    with_each_backend(xdp, |rig, service, backend| {
        for family in FAMILIES {
            let path = path(rig, rig.node_port(service, family));
            // Whatever the checksum of a packet is: a payload that has it in place of a zero word
            // brings the sum of the packet to 0xffff, and its checksum to zero.
            let arrived = sent_through(rig, backend, &path.udp(&[0; 4])?)?;
            let [high, low] = arrived.checksum.to_be_bytes();
            let arrived = sent_through(rig, backend, &path.udp(&[high, low, 0, 0])?)?;
            assert_eq!(arrived.checksum, 0xffff, "{family}");
        }
        Ok(())
    })
}

fn every_packet_of_a_connection_has_right_checksums(xdp: Xdp) -> Result<()> {
    with_each_backend(xdp, |rig, service, backend| {
        // What arrives at the client, and at the backend.
        let wires = [rig.client().wire(Sees::All)?, arrivals(rig, backend)?];
        for family in FAMILIES {
            let mut connection = rig.client().tcp(rig.node_port(service, family)).connect()?;
            for length in [1, 2, 3, 1447, 1448, 1449, 20_001] {
                connection.upload(length)?;
                connection.download(length)?;
            }
        }
        for wire in &wires {
            let frames = wire.drain()?;
            let packets: Vec<_> = frames.iter().filter(|frame| Packet::read(frame).is_some()).collect();
            assert!(packets.len() > 50, "{} packets", packets.len());
            for frame in packets {
                verify_checksums(frame).with_context(|| format!("{:?}", Packet::read(frame)))?;
            }
        }
        Ok(())
    })
}

/// From the client to a NodePort, as it is on the client's wire.
fn path(rig: &Rig, target: SocketAddr) -> Path {
    let source = SocketAddr::new(rig.client().address(Family::of(target.ip())), PORT);
    Path { macs: (rig.client().mac(), rig.node().mac()), source, destination: target }
}

/// What arrives for a backend: at its own wire, or at its node's.
fn arrivals(rig: &Rig, backend: &Host) -> Result<Wire> {
    match backend.name() {
        "local" => backend.wire(Sees::All),
        _ => rig.network().node2.wire(Sees::All),
    }
}

/// The packet that arrives at the backend for one that the client sends; its checksums are right.
fn sent_through(rig: &Rig, backend: &Host, frame: &[u8]) -> Result<Packet> {
    let arrivals = arrivals(rig, backend)?;
    rig.client().wire(Sees::All)?.send(frame)?;
    arrivals.find(SOON, |frame| {
        let packet =
            Packet::read(frame).filter(|packet| packet.destination.ip() == backend_ip(backend, packet));
        packet.map(|packet| verify_checksums(frame).map(|()| packet))
    })?
}

/// The backend's address in the family of a packet.
fn backend_ip(backend: &Host, packet: &Packet) -> std::net::IpAddr {
    backend.address(Family::of(packet.destination.ip()))
}
