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
    wire::{Sees, Wire},
    with_and_without_xdp,
};

with_and_without_xdp!(
    a_full_table_keeps_one_way_udp_and_idle_tcp,
    a_connection_without_a_free_source_port_is_dropped_and_counted,
    source_ports_of_flows_that_expired_are_used_again_without_an_agent,
    a_udp_flow_that_was_idle_chooses_anew_without_an_agent,
);

/// What nobody answers.
const ONE_WAY: &[u8] = b"quiet one way";

fn a_full_table_keeps_one_way_udp_and_idle_tcp(xdp: Xdp) -> Result<()> {
    // A rig each: what begins during a flood is not told from it.
    for family in FAMILIES {
        let rig = Rig::routed().xdp(xdp).flow_entries(4096).start()?;
        let backends = [rig.pod("local")?, rig.remote_pod("remote")?];
        let service = Service::number(1).behind(&backends);
        rig.apply(&[&service])?;
        let target = rig.node_port(&service, family);
        let mut idle = [rig.client().tcp(target).connect()?, rig.client().tcp(target).connect()?];
        let one_way =
            [OneWay::begin(&rig, target, &backends[0])?, OneWay::begin(&rig, target, &backends[1])?];
        // Strangers who do not answer, ten times as many as the table holds.
        flood(&rig, &one_way, |n| {
            let path = path_of_stranger(&rig, target, n);
            if n % 2 == 0 { path.syn(1) } else { path.udp(b"quiet flood") }
        })?;
        idle.iter_mut().try_for_each(Connection::echo)?;
        rig.client().tcp(target).times(10)?;
        // Strangers who are answered have a right to the table, but one that is in use stays there.
        flood(&rig, &one_way, |n| path_of_stranger(&rig, target, n).udp(b"hello"))?;
        rig.client().tcp(target).times(10)?;
    }
    Ok(())
}

/// Sends the frames of 20,000 strangers, while one-way flows go on.
fn flood(rig: &Rig, one_way: &[OneWay], frame: impl Fn(u16) -> Result<Vec<u8>>) -> Result<()> {
    let wire = rig.client().wire(Sees::All)?;
    for n in 0..20_000 {
        wire.send(&frame(n)?)?;
        if n % 100 == 0 {
            one_way.iter().try_for_each(OneWay::go_on)?;
        }
    }
    Ok(())
}

/// UDP that nobody answers.
struct OneWay {
    exchange: Exchange,
    backend: Wire,
    source: SocketAddr,
}

impl OneWay {
    /// Its first datagram, which goes to the backend whose turn it is.
    fn begin(rig: &Rig, target: SocketAddr, backend: &Host) -> Result<Self> {
        let (exchange, backend) = (rig.client().udp(target).exchange()?, backend.wire(Sees::All)?);
        let source = send_one_way(&exchange, &backend)?;
        Ok(Self { exchange, backend, source })
    }

    /// One more datagram, which reaches the same backend as the same flow.
    fn go_on(&self) -> Result<()> {
        assert_eq!(send_one_way(&self.exchange, &self.backend)?, self.source);
        Ok(())
    }
}

/// Sends a datagram, and returns the source that it arrives with.
fn send_one_way(exchange: &Exchange, backend: &Wire) -> Result<SocketAddr> {
    exchange.send(ONE_WAY)?;
    backend.find(SOON, |frame| Some(Packet::read(frame).filter(|packet| packet.payload == ONE_WAY)?.source))
}

/// From somebody whom the client's network has not.
fn path_of_stranger(rig: &Rig, target: SocketAddr, n: u16) -> Path {
    let source = nobody(Family::of(target.ip()), n);
    Path { macs: (rig.client().mac(), rig.node().mac()), source, destination: target }
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
