//! Datagrams that do not fit one packet: their fragments go where the first goes.

use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_common::{
    counters::Program::{self, TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress, XdpUplink},
    sctp::chunk::INIT,
};
use svc_lb_tests::{
    Host, Rig, Service, Topology, Xdp,
    datagram::fragments,
    frame::{Packet, Path, verify_checksums},
    host::INTERFACE,
    in_every_network,
    plan::FAMILIES,
    programs::{BACKEND, FRONTEND, IDENTITY_PORT, MAC, PORT, Programs, TARGET_PORT},
    wire::{Sees, Wire},
    with_and_without_xdp,
};

/// More than five packets each way.
const LENGTH: usize = 8000;
/// The most that a fragment carries on Ethernet.
const FRAGMENT: usize = 1480;

in_every_network!(long_datagrams_arrive_both_ways);

with_and_without_xdp!(a_fragment_whose_first_was_never_seen_reaches_the_stack_as_it_came);

#[test]
fn checksums_and_segments_that_nobody_finishes_are_no_obstacle() -> Result<()> {
    carries(&Rig::routed().with_offloads().start()?)
}

fn long_datagrams_arrive_both_ways(topology: Topology, xdp: Xdp) -> Result<()> {
    let rig = Rig::of(topology).xdp(xdp).start()?;
    carries(&rig).with_context(|| topology.to_string())
}

/// Long datagrams between clients and backends in every place.
fn carries(rig: &Rig) -> Result<()> {
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    let outside = rig.client();
    // XDP leaves all fragments to tc.
    let ways = [
        (outside, &local, (TcUplinkIngress, TcUplinkEgress)),
        (outside, &remote, (TcUplinkIngress, TcUplinkIngress)),
        (&pod, &local, (TcPodIngress, TcPodEgress)),
        (&pod, &remote, (TcPodIngress, TcPodEgress)),
        (&pod, &pod, (TcPodIngress, TcPodIngress)),
    ];
    for (client, backend, programs) in ways {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        let target = |family| match client.name() {
            "pod" => service.cluster_ip(family),
            _ => rig.node_port(&service, family),
        };
        exchange(rig, client, FAMILIES.map(target), backend, programs)
            .with_context(|| format!("{} and {}", client.name(), backend.name()))?;
    }
    assert_eq!(rig.losses(&[&pod, &local, &remote])?, [] as [String; 0]);
    Ok(())
}

/// Each datagram comes back whole, and all its fragments were the work of these programs.
fn exchange(
    rig: &Rig,
    client: &Host,
    targets: [SocketAddr; 2],
    backend: &Host,
    (forwarder, replier): (Program, Program),
) -> Result<()> {
    const TIMES: u64 = 3;
    let payload: Vec<u8> = (0..LENGTH).map(|n| (n * 31 + n / 251) as u8).collect();
    for target in targets {
        let work = rig.work_of(|| {
            let exchange = client.udp(target).exchange()?;
            for _ in 0..TIMES {
                let answer = match exchange.ask_with(&payload) {
                    // The client has just heard that its fragments are too long for an overlay.
                    Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => exchange.ask_with(&payload),
                    answer => answer,
                };
                ensure!(answer?.by == backend.name(), "another backend answered");
            }
            Ok(())
        });
        let work = work.with_context(|| target.to_string())?;
        let programs = (work.forwarded_by(), work.replied_by());
        ensure!(programs == (vec![forwarder], vec![replier]), "{target}: {programs:?}");
        let fragments = TIMES * LENGTH.div_ceil(FRAGMENT) as u64;
        ensure!(work.forwarded(forwarder) >= fragments, "{target}: {work:?}");
        ensure!(work.replied(replier) >= fragments, "{target}: {work:?}");
    }
    Ok(())
}

fn a_fragment_whose_first_was_never_seen_reaches_the_stack_as_it_came(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.remote_pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let wire = Wire::open(rig.lan(), rig.node().name(), Sees::All)?;
    for family in FAMILIES {
        let path = Path {
            macs: (rig.client().mac(), rig.node().mac()),
            source: SocketAddr::new(rig.client().address(family), 41000),
            destination: rig.node_port(&service, family),
        };
        let sees = match family {
            Family::V4 => Sees::Ipv4ForTheStack,
            Family::V6 => Sees::Ipv6ForTheStack,
        };
        let stack = Wire::open(rig.node().namespace(), INTERFACE, sees)?;
        let fragments = fragments(&path.udp(&[7; 3000])?, 4711, 1200)?;
        let work = rig.work_of(|| {
            for fragment in &fragments[1..] {
                wire.send(fragment)?;
                stack.await_frame(fragment).with_context(|| format!("{family}"))?;
            }
            Ok(())
        })?;
        assert!(work.is_empty(), "{work:?}");
    }
    Ok(())
}

/// From a client to the frontend that all programs know, by its family's number.
fn path(family: usize, port: u16) -> Path {
    let client = ["198.51.100.7", "2001:db8:7::7"][family].parse().expect("an address");
    Path {
        macs: (MAC, MAC),
        source: SocketAddr::new(client, port),
        destination: SocketAddr::new(FRONTEND[family], PORT),
    }
}

#[test]
fn later_fragments_get_the_addresses_of_the_first_and_nothing_else() -> Result<()> {
    Programs::with(|programs| {
        for family in [0, 1] {
            let path = path(family, 42000);
            let translated = Path { destination: SocketAddr::new(BACKEND[family], TARGET_PORT), ..path };
            let payload: Vec<u8> = (0..2000_usize).map(|n| (n % 251) as u8).collect();
            let sent = fragments(&path.udp(&payload)?, 99, 800)?;
            let expected = fragments(&translated.udp(&payload)?, 99, 800)?;
            for (fragment, expected) in sent.iter().zip(&expected) {
                let trial = programs.run(TcPodIngress, fragment)?;
                assert_eq!((trial.verdict, &trial.frame), (NEXT, expected));
            }
            // At another hook, and under another identification, they follow nothing; XDP looks at none.
            as_it_came(programs, TcUplinkIngress, &sent[1])?;
            as_it_came(programs, TcPodIngress, &fragments(&path.udp(&payload)?, 100, 800)?[1])?;
            as_it_came(programs, XdpUplink, &sent[0])?;
            as_it_came(programs, XdpUplink, &sent[1])?;
        }
        Ok(())
    })
}

#[test]
fn a_fragment_of_tcp_changes_nothing_of_the_connection() -> Result<()> {
    Programs::with(|programs| {
        for family in [0, 1] {
            let path = path(family, 42001);
            programs.run(TcPodIngress, &path.syn(1)?)?;
            let ack = etherparse::TcpHeader { ack: true, ..etherparse::TcpHeader::default() };
            let sent = fragments(&path.tcp(ack.clone(), &[7; 1000])?, 98, 400)?;
            for fragment in &sent {
                let trial = programs.run(TcPodIngress, fragment)?;
                assert_ne!(&trial.frame, fragment);
            }
            // One whose header is not whole is not looked at.
            as_it_came(programs, TcPodIngress, &fragments(&path.tcp(ack, &[7; 1000])?, 97, 16)?[0])?;
        }
        Ok(())
    })
}

/// Bytes behind the packet, as Ethernet has them behind short ones, are no header.
#[test]
fn a_first_fragment_without_a_whole_header_leaves_as_it_came() -> Result<()> {
    Programs::with(|programs| {
        for family in [0, 1] {
            let mut fragment = fragments(&path(family, 42003).udp(&[7; 100])?, 94, 8)?.swap_remove(0);
            let length = [14 + 3, 14 + 5][family];
            fragment[length] -= 4;
            as_it_came(programs, TcPodIngress, &fragment)?;
            fragment[length] += 4;
            assert_ne!(programs.run(TcPodIngress, &fragment)?.frame, fragment);
        }
        Ok(())
    })
}

/// The checksum of SCTP is in the first fragment, and changes by how long all of them are.
#[test]
fn a_fragment_of_sctp_is_translated_only_where_its_ports_stay() -> Result<()> {
    Programs::with(|programs| {
        for family in [0, 1] {
            let frames = |port| {
                let mut path = path(family, 42004);
                path.destination.set_port(port);
                fragments(&path.sctp(0, INIT, &[7; 1000])?, 93, 400)
            };
            let changing = frames(PORT)?;
            assert_eq!(programs.run(TcPodIngress, &changing[0])?.verdict, DROP);
            // The others follow nothing.
            as_it_came(programs, TcPodIngress, &changing[1])?;
            // The backend of this frontend is the frontend itself: what follows is counted.
            let before = programs.rewritten(TcPodIngress)?;
            let staying = frames(IDENTITY_PORT)?;
            for fragment in &staying {
                as_it_came(programs, TcPodIngress, fragment)?;
            }
            assert_eq!(programs.rewritten(TcPodIngress)? - before, staying.len() as u64);
        }
        Ok(())
    })
}

/// A fragment header does not make a fragment (RFC 6946).
#[test]
fn an_ipv6_datagram_in_one_fragment_is_a_whole_packet() -> Result<()> {
    Programs::with(|programs| {
        let path = path(1, 42002);
        let trial = programs.run(TcPodIngress, &fragments(&path.udp(b"hello")?, 96, 800)?[0])?;
        let seen = Packet::read(&trial.frame).context("no packet")?;
        assert_eq!(seen.destination, SocketAddr::new(BACKEND[1], TARGET_PORT));
        verify_checksums(&trial.frame)
    })
}

/// `TC_ACT_UNSPEC`.
const NEXT: i32 = -1;
/// `TC_ACT_SHOT`.
const DROP: i32 = 2;

/// The frame leaves a program as it came.
fn as_it_came(programs: &mut Programs, program: Program, frame: &[u8]) -> Result<()> {
    let trial = programs.run(program, frame)?;
    let next = if program == XdpUplink { 2 } else { NEXT };
    assert_eq!((trial.verdict, trial.frame.as_slice()), (next, frame), "{}", program.name());
    Ok(())
}
