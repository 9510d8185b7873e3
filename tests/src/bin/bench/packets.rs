//! What a packet costs in each program, by test runs in the kernel (`BPF_PROG_TEST_RUN`).
//!
//! Each row is compared with a frame that is not IP, which the same program gives back at once: the
//! difference is what svc-lb does.

use crate::{
    measurement::{Measurement, Unit},
    report::Group,
    rounds::Effort,
};
use anyhow::{Result, ensure};
use etherparse::TcpHeader;
use std::net::SocketAddr;
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

/// What a program gets, and whether it translates that.
struct Row {
    what: String,
    frame: Vec<u8>,
    translated: bool,
}

/// Measures every program.
pub fn measure(effort: Effort, done: &mut dyn FnMut(Group)) -> Result<()> {
    let groups = Programs::with(|programs| {
        let measured = [XdpUplink, TcUplinkIngress, TcUplinkEgress, TcPodIngress, TcPodEgress];
        measured
            .into_iter()
            .map(|program| measure_program(programs, program, effort))
            .collect::<Result<Vec<_>>>()
    })?;
    groups.into_iter().for_each(done);
    Ok(())
}

fn measure_program(programs: &mut Programs, program: Program, effort: Effort) -> Result<Group> {
    let mut measurements: Vec<Measurement> = Vec::new();
    for row in rows(program)? {
        let durations = measure_row(programs, program, &row, effort.rounds(ROUNDS))?;
        let measurement = Measurement::new(row.what, Unit::Nanoseconds, durations);
        let floor = measurements.first();
        measurements.push(match floor {
            Some(floor) => measurement.more_than(floor, None),
            None => measurement,
        });
    }
    Ok(Group { title: format!("A packet in {}, by test runs", program.name()), measurements })
}

/// The frames, that which is not IP first.
fn rows(program: Program) -> Result<Vec<Row>> {
    let row = |what: &str, frame, translated| Row { what: what.to_owned(), frame, translated };
    let mut arp = vec![0; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    let mut rows = vec![row("not IP", arp, false)];
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
    Ok(rows)
}

/// How many nanoseconds a run takes, a value a round.
fn measure_row(programs: &mut Programs, program: Program, row: &Row, rounds: usize) -> Result<Vec<f64>> {
    // A TCP flow begins with a SYN; without its ACK it is the same packet.
    let mut opening = row.frame.clone();
    if row.translated && row.what.contains("TCP") {
        let flags = if row.what.contains("IPv4") { 14 + 20 + 13 } else { 14 + 40 + 13 };
        opening[flags] = 2;
    }
    programs.run(program, &opening)?;
    let before = programs.rewritten(program)?;
    let mut durations = Vec::new();
    for _ in 0..rounds {
        let duration = programs.repeat(program, &row.frame, RUNS)?.duration;
        durations.push(duration.as_secs_f64() * 1e9);
    }
    let rewritten = programs.rewritten(program)? - before;
    let expected = if row.translated { u64::from(RUNS) * rounds as u64 } else { 0 };
    ensure!(rewritten == expected, "{}: {rewritten} of {expected} packets were translated", row.what);
    Ok(durations)
}
