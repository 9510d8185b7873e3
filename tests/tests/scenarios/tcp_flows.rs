//! What a TCP connection goes through: a SYN too many, its end, the end of its backend.

use anyhow::Result;
use std::{
    io::ErrorKind::{ConnectionReset, WouldBlock},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};
use svc_lb::compile::{Family, Protocol::Tcp};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    conversation::Connection,
    frame::{Packet, Path},
    plan::FAMILIES,
    wait::SOON,
    wire::Sees,
    with_and_without_xdp,
};

const PORT: u16 = 41000;

with_and_without_xdp!(
    a_duplicate_syn_in_mid_transfer_changes_nothing,
    a_syn_on_a_flow_that_was_reset_chooses_anew,
    a_syn_on_a_flow_that_was_closed_chooses_anew,
    the_client_of_a_removed_backend_that_is_silent_is_reset_after_ten_seconds,
    a_stray_packet_to_a_node_port_is_left_to_the_node,
);

/// From the client to a NodePort, as it is on the client's wire.
fn path(rig: &Rig, source_port: u16, target: SocketAddr) -> Path {
    let source = SocketAddr::new(rig.client().address(Family::of(target.ip())), source_port);
    Path { macs: (rig.client().mac(), rig.node().mac()), source, destination: target }
}

fn a_duplicate_syn_in_mid_transfer_changes_nothing(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backends = [rig.pod("local")?, rig.remote_pod("remote")?];
    let service = Service::number(1).behind(&backends);
    rig.apply(&[&service])?;
    let wire = rig.client().wire(Sees::All)?;
    for family in FAMILIES {
        let target = rig.node_port(&service, family);
        let mut connections = Vec::new();
        for port in [PORT, PORT + 1] {
            connections.push(rig.client().tcp(target).from_port(port).connect()?);
        }
        let work = rig.work_of(|| {
            for connection in &mut connections {
                connection.download(1_000_000)?;
                let path = path(&rig, connection.local()?.port(), target);
                for sequence_number in [1, 0x8000_0000, u32::MAX] {
                    wire.send(&path.syn(sequence_number)?)?;
                }
                connection.download(1_000_000)?;
            }
            Ok(())
        })?;
        assert_eq!(work.new_flows(&service, Tcp, family), 0);
        assert_ne!(connections[0].answer().by, connections[1].answer().by);
    }
    Ok(())
}

fn a_syn_on_a_flow_that_was_reset_chooses_anew(xdp: Xdp) -> Result<()> {
    chooses_anew(xdp, |rig, target| {
        let connection = rig.client().tcp(target).from_port(PORT).connect()?;
        let answerer = connection.answer().by.clone();
        connection.reset()?;
        Ok(answerer)
    })
}

fn a_syn_on_a_flow_that_was_closed_chooses_anew(xdp: Xdp) -> Result<()> {
    chooses_anew(xdp, |rig, target| {
        // The backend closes first, so that the client's port is free at once.
        let mut connection = rig.client().tcp(target).from_port(PORT).connect()?;
        connection.send("bye")?;
        connection.await_end()?;
        Ok(connection.answer().by.clone())
    })
}

/// Two backends take turns although all connections have the same addresses and ports.
fn chooses_anew(xdp: Xdp, converse: impl Fn(&Rig, SocketAddr) -> Result<String>) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backends = [rig.pod("local")?, rig.remote_pod("remote")?];
    let service = Service::number(1).behind(&backends);
    rig.apply(&[&service])?;
    for family in FAMILIES {
        let work = rig.work_of(|| {
            let mut answerers = Vec::new();
            for _ in 0..6 {
                answerers.push(converse(&rig, rig.node_port(&service, family))?);
            }
            assert!(answerers.windows(2).all(|pair| pair[0] != pair[1]), "{answerers:?}");
            Ok(())
        })?;
        assert_eq!(work.new_flows(&service, Tcp, family), 6);
    }
    Ok(())
}

fn the_client_of_a_removed_backend_that_is_silent_is_reset_after_ten_seconds(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    let backends = [rig.pod("local")?, rig.remote_pod("remote")?];
    let there = rig.pod("there")?;
    let service = Service::number(1);
    rig.apply(&[&service.behind([&there])])?;
    let (mut idle, mut slow) = (Vec::new(), Vec::new());
    for family in FAMILIES {
        let dial = pod.tcp(service.cluster_ip(family));
        idle.push(dial.connect()?);
        slow.push(dial.patience(Duration::from_secs(3)).connect()?);
    }
    let service = service.behind(&backends);
    rig.apply(&[&service])?;
    let mut connections = Vec::new();
    for family in FAMILIES {
        for (client, target) in
            [(rig.client(), rig.node_port(&service, family)), (&pod, service.cluster_ip(family))]
        {
            for _ in &backends {
                connections.push(client.tcp(target).patience(Duration::from_secs(20)).connect()?);
            }
        }
    }
    rig.apply(&[&service.behind([])])?;
    for connection in &mut connections {
        connection.echo()?;
    }
    backends.iter().try_for_each(Host::fall_silent)?;
    let silence = Instant::now();
    thread::scope(|scope| {
        for connection in &mut connections {
            // The line goes out again and again, as TCP does, until the client is reset.
            scope.spawn(move || {
                let error = connection.echo().expect_err("the backend is silent");
                assert_eq!(error.kind(), ConnectionReset, "{error}");
                let after = silence.elapsed().as_secs_f32();
                assert!((9.0..16.0).contains(&after), "reset after {after} s");
            });
        }
    });
    // Whom nobody asked for as long may still be there, and take a while to answer.
    idle.iter_mut().try_for_each(Connection::echo)?;
    there.fall_silent()?;
    thread::scope(|scope| {
        for connection in &mut slow {
            scope.spawn(move || {
                let error = connection.echo().expect_err("the backend is silent");
                assert_eq!(error.kind(), WouldBlock, "{error}");
            });
        }
    });
    Ok(())
}

fn a_stray_packet_to_a_node_port_is_left_to_the_node(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let wire = rig.client().wire(Sees::All)?;
    for family in FAMILIES {
        let work = rig.work_of(|| {
            let path = path(&rig, PORT, rig.node_port(&service, family));
            let stray = etherparse::TcpHeader { ack: true, window_size: 1000, ..Default::default() };
            wire.send(&path.tcp(stray, b"hello")?)?;
            // The node's own stack resets what it does not know.
            wire.find(SOON, |frame| {
                let packet = Packet::read(frame)?;
                (packet.source == path.destination && packet.tcp?.rst).then_some(())
            })
        })?;
        assert!(work.is_empty(), "{work:?}");
    }
    Ok(())
}
