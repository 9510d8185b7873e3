//! The flow table has an end, and so has every flow.

use anyhow::Result;
use nix::sys::signal::Signal;
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
    time::Duration,
};
use svc_lb::compile::{Family, Protocol};
use svc_lb_common::counters::{
    DropReason::NoSourcePort,
    Program::{TcUplinkIngress, XdpUplink},
};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    conversation::{Connection, Exchange, Standing},
    frame::{Packet, Path},
    plan::{FAMILIES, KINDS},
    rig::Builder,
    wait::{SOON, until},
    wire::Sees,
    with_and_without_xdp,
};

with_and_without_xdp!(
    a_full_table_keeps_one_way_udp_and_idle_tcp,
    a_connection_without_a_free_source_port_is_dropped_and_counted,
    source_ports_of_flows_that_expired_are_used_again_without_an_agent,
    a_udp_flow_that_was_idle_chooses_anew_without_an_agent,
);

fn a_full_table_keeps_one_way_udp_and_idle_tcp(xdp: Xdp) -> Result<()> {
    // A rig each: what begins during a flood is not told from it.
    for family in FAMILIES {
        let rig = Rig::routed().xdp(xdp).flag("--flow-entries", "4096").start()?;
        let backends = [rig.pod("local")?, rig.remote_pod("remote")?];
        let service = Service::number(1).behind(&backends);
        rig.apply(&[&service])?;
        let client = rig.client();
        let wire = client.wire(Sees::All)?;
        let target = rig.node_port(&service, family);
        let mut idle = [client.tcp(target).connect()?, client.tcp(target).connect()?];
        let one_way = [client.udp(target).exchange()?, client.udp(target).exchange()?];
        let arriving = [backends[0].wire(Sees::All)?, backends[1].wire(Sees::All)?];
        let empty = |frame: &[u8]| Packet::read(frame).filter(Packet::is_empty_udp);
        let mut sources = [vec![], vec![]];
        // 20,000 clients, ten times what the table holds; meanwhile the one-way flows go on.
        for n in 0..20_000 {
            if n % 500 == 0 {
                one_way.iter().try_for_each(Exchange::send_nothing)?;
                for (wire, sources) in arriving.iter().zip(&mut sources) {
                    sources.push(wire.find(SOON, empty)?.source);
                }
            }
            let path = Path {
                macs: (client.mac(), rig.node().mac()),
                source: nobody(family, n),
                destination: target,
            };
            wire.send(&if n % 2 == 0 { path.syn(1)? } else { path.udp(b"hello")? })?;
        }
        for (wire, sources) in arriving.iter().zip(sources) {
            assert!(sources.iter().all(|source| *source == sources[0]), "one flow has one source");
            let more = wire.drain()?.iter().filter_map(|frame| empty(frame)).count();
            assert_eq!(more, 0, "the other flow came here too");
        }
        idle.iter_mut().try_for_each(Connection::echo)?;
        // New clients are served too. Who serves them is open: the last of the flood takes its turns.
        client.tcp(target).times(10)?;
    }
    Ok(())
}

/// An address that nobody has, and a port.
fn nobody(family: Family, n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    match family {
        Family::V4 => (Ipv4Addr::new(198, 18, high, low), 40000).into(),
        Family::V6 => (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, n), 40000).into(),
    }
}

/// The ports of a backend that [`SNAT_RANGE`] has, and the range.
const SNAT_PORTS: usize = 8;
const SNAT_RANGE: &str = "10000-10007";

/// Conversations that take every source port towards one backend.
fn take_every_port(client: &Host, protocol: Protocol, target: SocketAddr) -> Result<Vec<Standing>> {
    (0..SNAT_PORTS).map(|_| Ok(Standing::begin(client, protocol, target)?)).collect()
}

fn a_connection_without_a_free_source_port_is_dropped_and_counted(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).flag("--snat-port-range", SNAT_RANGE).start()?;
    let backend = rig.remote_pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let dropper = match xdp {
        Xdp::Native => XdpUplink,
        _ => TcUplinkIngress,
    };
    for (family, protocol) in KINDS {
        let target = rig.node_port(&service, family);
        let mut standing = take_every_port(rig.client(), protocol, target)?;
        let work = rig.work_of(|| {
            let dial = rig.client().dial(protocol, target).patience(Duration::from_millis(200));
            dial.ask().expect_err("no port is free");
            Ok(())
        })?;
        assert_eq!(work.dropped_by(), [dropper], "{protocol} {family}");
        assert!(work.drops(NoSourcePort) > 0 && work.drops(NoSourcePort) == work.all_drops(), "{work:?}");
        standing.iter_mut().try_for_each(Standing::go_on)?;
        if let Some(Standing::Tcp(connection)) = standing.pop() {
            connection.reset()?;
            assert_eq!(rig.client().tcp(target).ask()?.by, "backend", "a closed flow gives its port up");
        }
    }
    Ok(())
}

fn source_ports_of_flows_that_expired_are_used_again_without_an_agent(xdp: Xdp) -> Result<()> {
    let rig = short_timeouts(xdp).flag("--snat-port-range", SNAT_RANGE).start()?;
    let backend = rig.remote_pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    rig.stop_agent(Signal::SIGKILL)?;
    for (family, protocol) in KINDS {
        let target = rig.node_port(&service, family);
        let standing = take_every_port(rig.client(), protocol, target)?;
        let impatient = rig.client().dial(protocol, target).patience(Duration::from_millis(200));
        impatient.ask().expect_err("no port is free");
        until("a flow expires", SOON, || Ok(impatient.ask().ok()))?;
        drop(standing);
    }
    Ok(())
}

fn a_udp_flow_that_was_idle_chooses_anew_without_an_agent(xdp: Xdp) -> Result<()> {
    let rig = short_timeouts(xdp).start()?;
    let backends = [rig.pod("local")?, rig.remote_pod("remote")?];
    let pod = rig.pod("pod")?;
    let service = Service::number(1).behind(&backends);
    rig.apply(&[&service])?;
    rig.stop_agent(Signal::SIGKILL)?;
    for family in FAMILIES {
        let flows = [rig.client().udp(rig.node_port(&service, family)), pod.udp(service.cluster_ip(family))];
        for flow in flows {
            let exchange = flow.exchange()?;
            let first = exchange.ask()?;
            assert_eq!(exchange.ask()?, first);
            thread::sleep(IDLE);
            assert_ne!(exchange.ask()?.by, first.by);
        }
    }
    Ok(())
}

/// More than the short timeout, whose clock ticks once a second.
const IDLE: Duration = Duration::from_millis(2500);

/// A rig whose flows are gone after a second without a packet.
fn short_timeouts(xdp: Xdp) -> Builder {
    ["tcp-timeout-established", "udp-timeout", "udp-timeout-stream"]
        .iter()
        .fold(Rig::routed().xdp(xdp), |rig, name| rig.flag(&format!("--conntrack-{name}"), "1s"))
}
