//! What a packet costs in each program, by test runs in the kernel (`BPF_PROG_TEST_RUN`).
//!
//! Each row is compared with a frame that is not IP, which the same program gives back at once: the
//! difference is what svc-lb does. Absolute times are the machine's, the differences hold in one run.

use anyhow::{Result, ensure};
use etherparse::TcpHeader;
use std::{net::SocketAddr, time::Duration};
use svc_lb_common::counters::Program::{
    self, TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress, XdpUplink,
};
use svc_lb_tests::{
    frame::Path,
    programs::{FRONTEND, IDENTITY_PORT, MAC, Programs},
};

/// Runs a round.
const RUNS: u32 = 200_000;
/// Rounds a row.
const ROUNDS: usize = 5;

/// A program, what it gets, and whether it translates that.
struct Row {
    program: Program,
    what: String,
    frame: Vec<u8>,
    translated: bool,
}

fn main() -> Result<()> {
    Programs::with(|programs| {
        println!(
            "{:<18} {:<28} {:>8} {:>8} {:>8} {:>10}",
            "program", "packet", "min ns", "median", "max", "− not IP"
        );
        let mut floor = Duration::ZERO;
        for row in rows()? {
            let [least, median, most] = measure(programs, &row)?;
            if row.what == NOT_IP {
                floor = median;
            }
            let more = median.saturating_sub(floor);
            println!(
                "{:<18} {:<28} {:>8} {:>8} {:>8} {:>10}",
                row.program.name(),
                row.what,
                least.as_nanos(),
                median.as_nanos(),
                most.as_nanos(),
                more.as_nanos()
            );
        }
        Ok(())
    })
}

const NOT_IP: &str = "not IP";

fn rows() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for program in [XdpUplink, TcUplinkIngress, TcUplinkEgress, TcPodIngress, TcPodEgress] {
        let row = |what: &str, frame, translated| Row { program, what: what.to_owned(), frame, translated };
        let mut arp = vec![0; 60];
        arp[12..14].copy_from_slice(&[8, 6]);
        rows.push(row(NOT_IP, arp, false));
        for (family, frontend) in ["IPv4", "IPv6"].into_iter().zip(FRONTEND) {
            let nobody = if frontend.is_ipv4() { "203.0.113.9" } else { "2001:db8:9::9" };
            let client = if frontend.is_ipv4() { "198.51.100.7" } else { "2001:db8:7::7" };
            let path = |destination| -> Result<Path> {
                Ok(Path { macs: (MAC, MAC), source: SocketAddr::new(client.parse()?, 45000), destination })
            };
            let other = path(SocketAddr::new(nobody.parse()?, 80))?;
            rows.push(row(&format!("{family} TCP for no frontend"), other.syn(1)?, false));
            if matches!(program, TcUplinkIngress | TcPodIngress) {
                let ours = path(SocketAddr::new(frontend, IDENTITY_PORT))?;
                rows.push(row(&format!("{family} UDP of a known flow"), ours.udp(b"hello")?, true));
                let ack = TcpHeader { ack: true, ..TcpHeader::default() };
                rows.push(row(&format!("{family} TCP of a known flow"), ours.tcp(ack, b"hello")?, true));
            }
        }
    }
    Ok(rows)
}

/// The shortest, the median and the longest of the rounds.
fn measure(programs: &mut Programs, row: &Row) -> Result<[Duration; 3]> {
    // A TCP flow begins with a SYN; without its ACK it is the same packet.
    let mut opening = row.frame.clone();
    if row.translated && row.what.contains("TCP") {
        let flags = if row.what.contains("IPv4") { 14 + 20 + 13 } else { 14 + 40 + 13 };
        opening[flags] = 2;
    }
    programs.run(row.program, &opening)?;
    let before = programs.rewritten(row.program)?;
    let mut durations = Vec::new();
    for _ in 0..ROUNDS {
        durations.push(programs.repeat(row.program, &row.frame, RUNS)?.duration);
    }
    let rewritten = programs.rewritten(row.program)? - before;
    let expected = if row.translated { u64::from(RUNS) * ROUNDS as u64 } else { 0 };
    ensure!(rewritten == expected, "{}: {rewritten} of {expected} packets were translated", row.what);
    durations.sort_unstable();
    Ok([durations[0], durations[ROUNDS / 2], durations[ROUNDS - 1]])
}
