//! ICMP errors of every form, run through the programs one by one.

use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, SocketAddr};
use svc_lb_common::{
    counters::Program::{self, TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress, XdpUplink},
    sctp::chunk::INIT,
};
use svc_lb_tests::{
    datagram::fragments,
    frame::{Path, verify_checksums},
    icmp::{self, IcmpError, PORT_UNREACHABLE, TIME_EXCEEDED, TOO_LONG},
    programs::{FRONTEND, MAC, PORT, Programs},
};

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
            ("SCTP", path(43004).sctp(0, INIT, &[7; 100])?),
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

/// What quotes just the ports, the checksum of SCTP, the ports and a part of the TCP header, and all of it.
const QUOTED: [usize; 5] = [8, 12, 16, 18, 1000];

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
