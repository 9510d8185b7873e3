//! What is not for a frontend, or is no packet at all, goes on as it came.

use anyhow::{Context, Result};
use etherparse::VlanId;
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_tests::{
    Rig, Service, Xdp,
    frame::Path,
    host::INTERFACE,
    manifest::TARGET_PORT,
    ping::ping,
    plan::{FAMILIES, KINDS},
    wire::{Sees, Wire},
    with_and_without_xdp,
};

with_and_without_xdp!(
    plain_routing_and_ping_are_untouched,
    malformed_packets_reach_the_stack_as_they_came,
    frames_for_another_host_pass_as_they_came,
    tagged_frames_pass_as_they_came,
);

fn plain_routing_and_ping_are_untouched(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (pod, remote, client) = (rig.pod("pod")?, rig.remote_pod("remote")?, rig.client());
    client.serve(TARGET_PORT)?;
    rig.node().serve(TARGET_PORT)?;
    rig.apply(&[&Service::number(1).behind([&pod, &remote])])?;
    let ways = [(client, &pod), (&pod, client), (client, rig.node()), (&pod, &remote), (&pod, rig.node())];
    let work = rig.work_of(|| {
        for (from, to) in ways {
            for (family, protocol) in KINDS {
                let answer = from.dial(protocol, (to.address(family), TARGET_PORT).into()).ask()?;
                assert_eq!((answer.by.as_str(), answer.client.ip()), (to.name(), from.address(family)));
                ping(from.namespace(), to.address(family))?;
            }
        }
        Ok(())
    })?;
    assert!(work.is_empty(), "{work:?}");
    assert_eq!(rig.flows()?, [] as [serde_json::Value; 0]);
    Ok(())
}

/// A frontend with a backend, and frames for it put on the uplink's wire itself: a bridge in between
/// would look into them.
struct Injection {
    rig: Rig,
    wire: Wire,
    service: Service,
}

impl Injection {
    fn new(xdp: Xdp) -> Result<Self> {
        let rig = Rig::routed().xdp(xdp).start()?;
        let backend = rig.remote_pod("backend")?;
        let service = Service::number(1).behind([&backend]);
        rig.apply(&[&service])?;
        let wire = Wire::open(rig.lan(), rig.node().name(), Sees::All)?;
        Ok(Self { rig, wire, service })
    }

    /// From the client to the frontend.
    fn path(&self, family: Family) -> Path {
        Path {
            macs: (self.rig.client().mac(), self.rig.node().mac()),
            source: SocketAddr::new(self.rig.client().address(family), 41000),
            destination: self.rig.node_port(&self.service, family),
        }
    }

    /// Each frame reaches the node's stack as it is, and nothing is counted.
    fn pass_as_they_came(&self, family: Family, frames: &[(String, Vec<u8>)]) -> Result<()> {
        let stack = self.stack(family)?;
        let work = self.rig.work_of(|| {
            for (what, frame) in frames {
                self.wire.send(frame)?;
                stack.await_frame(frame).with_context(|| format!("{family}: {what}"))?;
            }
            Ok(())
        })?;
        assert!(work.is_empty(), "{work:?}");
        assert_eq!(self.rig.flows()?, [] as [serde_json::Value; 0]);
        Ok(())
    }

    /// Where frames arrive behind all programs.
    fn stack(&self, family: Family) -> Result<Wire> {
        let sees = match family {
            Family::V4 => Sees::Ipv4ForTheStack,
            Family::V6 => Sees::Ipv6ForTheStack,
        };
        Wire::open(self.rig.node().namespace(), INTERFACE, sees)
    }
}

/// Length of the Ethernet header.
const ETHERNET: usize = 14;

fn malformed_packets_reach_the_stack_as_they_came(xdp: Xdp) -> Result<()> {
    let injection = Injection::new(xdp)?;
    for family in FAMILIES {
        let path = injection.path(family);
        let mut frames = Vec::new();
        for (protocol, frame) in [("TCP", path.syn(1)?), ("UDP", path.udp(b"hello")?)] {
            let transport = ETHERNET + if family == Family::V4 { 20 } else { 40 };
            let header = if protocol == "TCP" { 20 } else { 8 };
            // Cut off anywhere in the headers.
            for length in ETHERNET..transport + header {
                frames.push((format!("{protocol} cut to {length} bytes"), frame[..length].to_vec()));
            }
            let mut change = |what: &str, changes: &[(usize, u8)]| {
                let mut frame = frame.clone();
                for &(at, value) in changes {
                    frame[at] = value;
                }
                frames.push((format!("{protocol}: {what}"), frame));
            };
            if family == Family::V4 {
                for length in 0..5 {
                    change("too short an IPv4 header", &[(ETHERNET, 0x40 | length)]);
                }
                change("an IPv4 header longer than the frame", &[(ETHERNET, 0x4f)]);
                change("a total length of 0", &[(ETHERNET + 2, 0), (ETHERNET + 3, 0)]);
                change("a total length below the header's", &[(ETHERNET + 2, 0), (ETHERNET + 3, 19)]);
                change("a total length beyond the frame", &[(ETHERNET + 2, 0xff), (ETHERNET + 3, 0xff)]);
                change("IPv6 in an IPv4 frame", &[(ETHERNET, 0x60)]);
            } else {
                change("a payload beyond the frame", &[(ETHERNET + 4, 0xff), (ETHERNET + 5, 0xff)]);
                change("IPv4 in an IPv6 frame", &[(ETHERNET, 0x45)]);
                change("an endless chain of options", &[(ETHERNET + 6, 0), (transport + 1, 0xff)]);
            }
            if protocol == "TCP" {
                change("too short a TCP header", &[(transport + 12, 0x40)]);
                change("a TCP header longer than the packet", &[(transport + 12, 0xf0)]);
            } else {
                change("a UDP length of 3", &[(transport + 4, 0), (transport + 5, 3)]);
                change("a UDP length beyond the packet", &[(transport + 4, 0xff)]);
            }
        }
        injection.pass_as_they_came(family, &frames)?;
    }
    Ok(())
}

fn frames_for_another_host_pass_as_they_came(xdp: Xdp) -> Result<()> {
    let injection = Injection::new(xdp)?;
    for family in FAMILIES {
        let path = injection.path(family);
        let other = Path { macs: (path.macs.0, [2, 0, 0, 0, 0, 9]), ..path };
        let frames = [("TCP".to_owned(), other.syn(1)?), ("UDP".to_owned(), other.udp(b"hello")?)];
        injection.pass_as_they_came(family, &frames)?;
    }
    Ok(())
}

fn tagged_frames_pass_as_they_came(xdp: Xdp) -> Result<()> {
    let injection = Injection::new(xdp)?;
    for family in FAMILIES {
        let path = injection.path(family);
        let behind_xdp = Wire::open(injection.rig.node().namespace(), INTERFACE, Sees::All)?;
        let stack = injection.stack(family)?;
        let work = injection.rig.work_of(|| {
            for frame in [path.syn(1)?, path.udp(b"hello")?] {
                let tagged = Path::tag(&frame, VlanId::try_new(7)?);
                injection.wire.send(&tagged)?;
                behind_xdp.await_frame(&tagged)?;
                // The kernel takes the tag away before the stack sees the frame, if no device has it.
                stack.await_frame(&frame)?;
            }
            Ok(())
        })?;
        assert!(work.is_empty(), "{work:?}");
    }
    Ok(())
}
