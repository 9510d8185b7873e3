//! The source ports that svc-lb takes for itself: reserved, refused where they meet others', shared by
//! more flows than there are ports.

use anyhow::{Context, Result};
use etherparse::TcpHeader;
use nix::sys::signal::Signal;
use std::{
    mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use svc_lb::compile::{Family, Protocol};
use svc_lb_common::counters::DropReason::NoSourcePort;
use svc_lb_tests::{
    Rig, Service, Xdp,
    conversation::{Connection, Standing},
    frame::Path,
    plan::{FAMILIES, KINDS},
    wait::{SOON, until},
    wire::{Sees, Wire},
    with_and_without_xdp,
};

with_and_without_xdp!(
    spoofed_handshakes_that_nobody_answers_take_no_port_from_honest_flows,
    spoofed_handshakes_that_the_backend_answers_take_no_port_from_honest_flows,
    live_flows_that_take_every_port_are_reported_and_their_ends_free_the_ports,
);

/// The ports that are reserved, as the kernel spells them.
fn reserved(rig: &Rig) -> Result<String> {
    rig.node().namespace().sysctl("ipv4/ip_local_reserved_ports")
}

#[test]
fn ports_are_reserved_beside_those_of_others_and_given_back_alone() -> Result<()> {
    let rig = Rig::routed().start()?;
    assert_eq!(reserved(&rig)?, "10000-32767");
    rig.stop_agent(Signal::SIGTERM)?;
    assert_eq!(reserved(&rig)?, "10000-32767", "the dataplane goes on");
    cleanup(&rig)?;
    assert_eq!(reserved(&rig)?, "");

    // A list that is longer than what a reader reads first.
    let others = "8080,12000-12010,20000,21000,32767-32800,40000,41000-41005";
    rig.node().namespace().set_sysctl("ipv4/ip_local_reserved_ports", others)?;
    rig.start_agent()?;
    assert_eq!(reserved(&rig)?, "8080,10000-32800,40000,41000-41005");
    // Others reserve more while it runs, and an agent that is started anew bears it.
    let more = "8080,9090,10000-32800,40000,41000-41005";
    rig.node().namespace().set_sysctl("ipv4/ip_local_reserved_ports", more)?;
    rig.stop_agent(Signal::SIGKILL)?;
    rig.start_agent()?;
    assert_eq!(reserved(&rig)?, more);
    rig.stop_agent(Signal::SIGTERM)?;
    cleanup(&rig)?;
    assert_eq!(reserved(&rig)?, "8080,9090,12000-12010,20000,21000,32767-32800,40000,41000-41005");
    Ok(())
}

fn cleanup(rig: &Rig) -> Result<()> {
    let output = rig.svc_lb(&["cleanup"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_range_that_meets_ports_of_others_is_refused() {
    let refusals = [
        ("40000-41000", &["--snat-port-range 40000-41000", "net.ipv4.ip_local_port_range"]),
        ("29000-30000", &["--snat-port-range 29000-30000", "--service-node-port-range 30000-32767"]),
    ];
    for (range, words) in refusals {
        let error = match Rig::routed().flag("--snat-port-range", range).start() {
            Ok(_) => panic!("{range} is taken"),
            Err(error) => format!("{error:#}"),
        };
        assert!(error.contains("exit status: 2"), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

/// A range of 40 ports.
const FEW_PORTS: &str = "10000-10039";

/// How many handshakes a burst of the flood has.
const BURST: u16 = 1000;

/// A rig with few source ports, and somebody who spoofs handshakes.
struct Flood {
    rig: Rig,
    service: Service,
    wire: Wire,
    _backend: svc_lb_tests::Host,
}

impl Flood {
    fn new(xdp: Xdp) -> Result<Self> {
        let rig = Rig::routed().xdp(xdp).flag("--snat-port-range", FEW_PORTS).start()?;
        let backend = rig.remote_pod("backend")?;
        let service = Service::number(1).behind([&backend]);
        rig.apply(&[&service])?;
        let wire = rig.client().wire(Sees::All)?;
        Ok(Self { rig, service, wire, _backend: backend })
    }

    /// Sends a burst, each SYN from somebody else, and waits until nothing of it comes any more: a handshake
    /// that a burst meets half-way may be taken for one of its own.
    fn burst(&self, family: Family, round: u16, change: impl Fn(&mut Vec<u8>)) -> Result<()> {
        let destination = self.rig.node_port(&self.service, family);
        let arrived = || -> Result<u64> {
            let counters = self.rig.counters()?;
            Ok(counters.new_flows(&self.service, Protocol::Tcp, family) + counters.drops(NoSourcePort))
        };
        let before = arrived()?;
        for n in 0..BURST {
            let source = nobody(family, round * BURST + n);
            let macs = (self.rig.client().mac(), self.rig.node().mac());
            let mut frame = Path { macs, source, destination }.syn(n.into())?;
            change(&mut frame);
            self.wire.send(&frame)?;
        }
        // Not every frame does: the queue on the way is shorter than the burst.
        let mut seen = before;
        until("the end of the burst", SOON, || {
            let so_far = arrived()?;
            let ended = so_far > before && so_far == mem::replace(&mut seen, so_far);
            Ok(ended.then_some(()))
        })
    }

    /// Honest connections get through, and those from before go on, though bursts have taken every port.
    fn is_borne(&self, change: impl Fn(&mut Vec<u8>)) -> Result<()> {
        for family in FAMILIES {
            let target = self.rig.node_port(&self.service, family);
            let connect = || self.rig.client().tcp(target).patience(SOON).connect();
            let mut honest = vec![connect()?];
            for round in 0..5 {
                self.burst(family, round, &change)?;
                let connection = connect().with_context(|| format!("{family}, after burst {round}"))?;
                honest.push(connection);
                honest.iter_mut().try_for_each(Connection::echo)?;
            }
        }
        assert_eq!(self.rig.counters()?.drops(NoSourcePort), 0);
        Ok(())
    }
}

/// An address that nobody has, and a port.
fn nobody(family: Family, n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    match family {
        Family::V4 => (Ipv4Addr::new(198, 18, high, low), 40000).into(),
        Family::V6 => (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, n), 40000).into(),
    }
}

fn spoofed_handshakes_that_nobody_answers_take_no_port_from_honest_flows(xdp: Xdp) -> Result<()> {
    // With a wrong checksum they reach the backend, which does not answer.
    Flood::new(xdp)?.is_borne(|frame| {
        let checksum = frame.len() - TcpHeader::MIN_LEN + 16;
        frame[checksum] ^= 0x55;
    })
}

fn spoofed_handshakes_that_the_backend_answers_take_no_port_from_honest_flows(xdp: Xdp) -> Result<()> {
    Flood::new(xdp)?.is_borne(|_| {})
}

fn live_flows_that_take_every_port_are_reported_and_their_ends_free_the_ports(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).flag("--snat-port-range", "10000-10007").start()?;
    let backend = rig.remote_pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let target = rig.node_port(&service, family);
        let mut standing = Vec::new();
        for _ in 0..8 {
            standing.push(Standing::begin(rig.client(), protocol, target)?);
        }
        let impatient = rig.client().dial(protocol, target).patience(Duration::from_millis(200));
        let work = rig.work_of(|| {
            impatient.ask().expect_err("no port is free");
            Ok(())
        })?;
        assert!(work.drops(NoSourcePort) > 0, "{protocol} {family}: {work:?}");
        assert_eq!(work.drops(NoSourcePort), work.all_drops(), "{work:?}");
        standing.iter_mut().try_for_each(Standing::go_on)?;

        if protocol == Protocol::Tcp {
            // Each end lets one more in.
            while let Some(Standing::Tcp(connection)) = standing.pop() {
                connection.reset()?;
                assert_eq!(rig.client().tcp(target).ask()?.by, "backend");
            }
        }
    }
    until("a finding about the ports", SOON, || {
        Ok(rig.findings()?.iter().any(|finding| finding.contains("--snat-port-range")).then_some(()))
    })
}
