//! A program where the agent attached it, run on packets that nobody sent (`BPF_PROG_TEST_RUN`).

use anyhow::{Context, Result, ensure};
use aya::{
    TestRun, TestRunOptions,
    programs::{
        SchedClassifier,
        links::{FdLink, PinnedLink},
        loaded_programs,
    },
};
use nix::net::if_::if_nametoindex;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use svc_lb_common::counters::Program;
use svc_lb_tests::{
    Host, Rig,
    frame::{Packet, Path},
    links,
    pods::veth,
};

/// What a pod's packets to Services go through.
pub const PROGRAM: Program = Program::TcPodIngress;

/// Where the ports of connections begin.
const FIRST_PORT: u16 = 1024;
/// How many ports each address has.
const PORTS: u32 = (u16::MAX - FIRST_PORT) as u32;

/// How many connections there were: each has another client address or port, whatever it is to.
static CONNECTIONS: AtomicU32 = AtomicU32::new(0);

/// The program, with what makes a pod's packets.
pub struct Attached {
    program: SchedClassifier,
    interface: u32,
    macs: ([u8; 6], [u8; 6]),
    client: Ipv4Addr,
}

/// What became of the first packet of a connection.
pub struct Sent {
    /// Where it goes now.
    pub to: SocketAddr,
    /// How long the program took.
    pub took: Duration,
}

impl Attached {
    /// The program that serves what a pod sends.
    pub fn find(rig: &Rig, pod: &Host) -> Result<Self> {
        let interface = veth(pod.name());
        let pin = rig.pins().join("links").join(format!("{interface}-{}", PROGRAM.name()));
        let link = PinnedLink::from_pin(&pin).with_context(|| format!("no link at {}", pin.display()))?;
        let id = FdLink::from(link).info()?.program_id();
        let loaded = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id);
        let program = loaded.context("the attached program is gone")?;
        let node = rig.node().namespace();
        let mac = links::configure(node, async |links| links.mac(&interface).await)?;
        let interface = node.enter(|| if_nametoindex(interface.as_str()))?;
        Ok(Self {
            program: SchedClassifier::from_program_info(program, PROGRAM.name().into())?,
            interface,
            macs: (pod.mac(), mac),
            client: pod.addresses().v4,
        })
    }

    /// The first packet of a connection that was never there before. To be called in the node's network namespace.
    pub fn connect(&self, target: SocketAddr) -> Result<Sent> {
        /// Of `struct __sk_buff` (linux/bpf.h), in words: `ifindex`.
        const IFINDEX: usize = 10;
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let address = Ipv4Addr::from_bits(self.client.to_bits() + connection / PORTS);
        let source = SocketAddr::new(address.into(), FIRST_PORT + (connection % PORTS) as u16);
        let frame = Path { macs: self.macs, source, destination: target }.syn(connection)?;
        let mut left = vec![0; frame.len()];
        let mut context = [0; 4 * (IFINDEX + 1)];
        context[4 * IFINDEX..].copy_from_slice(&self.interface.to_ne_bytes());
        let result = self.program.test_run(TestRunOptions {
            data_in: Some(&frame),
            data_out: Some(&mut left),
            ctx_in: Some(&context),
            repeat: 1,
            ..TestRunOptions::default()
        })?;
        let packet = Packet::read(&left).context("the program left no packet")?;
        ensure!(packet.source == source, "the program changed the source of a packet to {target}");
        Ok(Sent { to: packet.destination, took: result.duration })
    }
}
