//! What a packet costs in each program, by test runs in the kernel (`BPF_PROG_TEST_RUN`), beside the least that
//! programs for its purpose have to do: the floors of `svc-lb-bench-ebpf`.
//!
//! The kernel does not restore a packet between the repetitions of a test run. So a program of our own, the
//! course, stands before the one that is measured: it writes the packet of another flow each time. What the
//! course costs is measured with a program behind it that does nothing, in the same rounds, and taken off.
//! Counters prove that every packet took the way that is measured.

mod bed;
mod case;
mod length;
mod node;

use crate::{
    measurement::{Measurement, Unit},
    report::{Group, thousands},
    rounds::{self, Effort},
};
use anyhow::Result;
use bed::Bed;
use case::{Case, Effect, Flags, Flows, Maker, Subject};
use length::Length;
use node::Purpose;
use std::ops::Range;
use svc_lb::compile::Family;
use svc_lb_common::counters::Program::{
    TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress, XdpUplink,
};
use svc_lb_tests::plan::FAMILIES;

/// How many flows are known, in a table as large as the agent's.
const FLOWS: [u32; 2] = [1, 1 << 13];
/// How many are known at the most, which a quick measurement leaves out.
const MANY_FLOWS: u32 = 1 << 19;
/// From how many flows on the processor's caches decide.
const BEYOND_CACHES: u32 = 1 << 16;
/// Entries of the flow tables, as the agent has them by default.
const ENTRIES: u32 = 1 << 18;

/// Measures every program.
pub fn measure(effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
    let makers = |bed: &Bed| FAMILIES.map(|family| Maker { links: bed.links, family });
    Bed::with(ENTRIES, |bed| {
        for maker in makers(bed) {
            let mut open = 0;
            for number in FLOWS {
                open_flows(bed, maker, open..number)?;
                open = number;
                done(established(bed, maker, number, effort)?);
            }
            done(not_ours(bed, maker, effort)?);
        }
        // From here on flows are always new, and displace older ones.
        let floods = effort.of(&[false, true][..], &[false]);
        for &flood in floods {
            for maker in makers(bed) {
                done(opened(bed, maker, flood, effort)?);
            }
        }
        Ok(())
    })?;
    for &number in effort.of(&[BEYOND_CACHES, MANY_FLOWS][..], &[BEYOND_CACHES]) {
        // Two for each flow of all kinds, and some room.
        Bed::with(number * 8, |bed| {
            for maker in makers(bed) {
                open_flows(bed, maker, 0..number)?;
                done(established(bed, maker, number, effort)?);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Where flows are for, and the programs of their first packets, answers and acknowledgements.
const KINDS: [(Purpose, svc_lb_common::counters::Program, svc_lb_common::counters::Program); 3] = [
    (Purpose::Remote, XdpUplink, XdpUplink),
    (Purpose::Local, TcUplinkIngress, TcUplinkEgress),
    (Purpose::FromPod, TcPodIngress, TcPodEgress),
];

/// How many flows of a kind are opened before the next kind has its turn. A table has those that came last at the
/// beginnings of its chains, where they are found first: so no kind may come before another.
const FLOWS_A_TURN: u32 = 1 << 12;

/// Opens these flows of each kind: a handshake each.
fn open_flows(bed: &mut Bed, maker: Maker, flows: Range<u32>) -> Result<()> {
    for first in flows.clone().step_by(FLOWS_A_TURN as usize) {
        let number = FLOWS_A_TURN.min(flows.end - first);
        for (purpose, forward, reply) in KINDS {
            let sent = |case: Case| if forward == XdpUplink { case.sent() } else { case };
            let syn = maker.forward(Subject::Own(forward), purpose, Flags::Syn)?;
            let ack = maker.forward(Subject::Own(forward), purpose, Flags::Ack)?;
            for case in [
                sent(syn).counts(Effect::OpenedAndForwarded),
                maker.reply(reply, purpose, Flags::SynAck)?,
                sent(ack).counts(Effect::Forwarded),
            ] {
                bed.run(&mut case.of(Flows::From(first)), number)?;
            }
        }
    }
    Ok(())
}

/// What is compared with what: the place of a floor, and how often the floor it may take.
struct Row {
    case: Case,
    floor: Option<(usize, Option<f64>)>,
}

impl Row {
    fn alone(case: Case) -> Self {
        Self { case, floor: None }
    }

    fn beside(case: Case, floor: usize, at_most: Option<f64>) -> Self {
        Self { case, floor: Some((floor, at_most)) }
    }
}

/// The rows that every table begins with: the course for XDP and for tc, and floor (b) for both.
fn floors(maker: Maker, number: u32) -> Result<Vec<Row>> {
    let flows = Flows::Known(number);
    let (translate, translate_in_tc) = match maker.family {
        Family::V4 => ("floor_translate_v4", "floor_tc_v4"),
        Family::V6 => ("floor_translate_v6", "floor_tc_v6"),
    };
    let forward = |subject, purpose| maker.forward(subject, purpose, Flags::Ack).map(|case| case.of(flows));
    Ok(vec![
        Row::alone(forward(Subject::Xdp("nothing_xdp"), Purpose::Remote)?.named("the course, XDP")),
        Row::alone(forward(Subject::Tc("nothing_tc"), Purpose::Local)?.named("the course, tc")),
        Row::alone(forward(Subject::Xdp(translate), Purpose::Remote)?.sent().named("floor (b), XDP")),
        Row::alone(forward(Subject::Tc(translate_in_tc), Purpose::Local)?.named("floor (b), tc")),
    ])
}

/// The place of the course for XDP; that for tc follows.
const COURSE: usize = 0;
/// The place of floor (b) for XDP.
const XDP_FLOOR: usize = 2;
/// The place of floor (b) for tc.
const TC_FLOOR: usize = 3;

/// Packets of established flows.
fn established(bed: &mut Bed, maker: Maker, number: u32, effort: Effort) -> Result<Group> {
    let family = maker.family;
    let (in_xdp, in_tc) = match (number >= BEYOND_CACHES, family) {
        (true, _) => (1.3, 1.3),
        (false, Family::V4) => (1.15, 1.15),
        (false, Family::V6) => (1.25, 1.15),
    };
    let flows = Flows::Known(number);
    let forward = |program, purpose| {
        let case = maker.forward(Subject::Own(program), purpose, Flags::Ack)?;
        anyhow::Ok(case.of(flows).counts(Effect::Forwarded))
    };
    let reply = |program, purpose| maker.reply(program, purpose, Flags::Ack).map(|case| case.of(flows));
    let mut rows = floors(maker, number)?;
    let turn = if family == Family::V4 { "floor_turn_v4" } else { "floor_turn_v6" };
    let turn = maker.forward(Subject::Xdp(turn), Purpose::Remote, Flags::Ack)?.of(flows).sent();
    rows.extend([
        Row::alone(turn.named("floor (a)")),
        Row::beside(
            forward(XdpUplink, Purpose::Remote)?.sent().named("XDP, to a remote backend"),
            XDP_FLOOR,
            Some(in_xdp),
        ),
        Row::beside(
            reply(XdpUplink, Purpose::Remote)?.named("XDP, reply of a remote backend"),
            XDP_FLOOR,
            Some(in_xdp),
        ),
        Row::beside(
            forward(XdpUplink, Purpose::Local)?
                .counts(Effect::Nothing)
                .named("XDP, to a local backend, left to tc"),
            XDP_FLOOR,
            None,
        ),
        Row::beside(
            forward(TcUplinkIngress, Purpose::Local)?.named("tc, to a local backend"),
            TC_FLOOR,
            Some(in_tc),
        ),
        Row::beside(
            reply(TcUplinkEgress, Purpose::Local)?.named("tc, reply of a local backend"),
            TC_FLOOR,
            Some(in_tc),
        ),
        Row::beside(
            forward(TcPodIngress, Purpose::FromPod)?.named("tc, from a pod to a ClusterIP"),
            TC_FLOOR,
            Some(in_tc),
        ),
        Row::beside(reply(TcPodEgress, Purpose::FromPod)?.named("tc, reply to a pod"), TC_FLOOR, Some(in_tc)),
    ]);
    let flows = match number {
        1 => "the only established flow".to_owned(),
        number => format!("one of {} established flows", thousands(number)),
    };
    let title = format!("{family}: a packet of {flows}, by test runs");
    measure_rows(bed, title, rows, number, effort)
}

/// Packets that are for no frontend.
fn not_ours(bed: &mut Bed, maker: Maker, effort: Effort) -> Result<Group> {
    let mut rows = floors(maker, 1)?;
    for program in [XdpUplink, TcUplinkIngress, TcUplinkEgress, TcPodIngress, TcPodEgress] {
        let floor = if program == XdpUplink { XDP_FLOOR } else { TC_FLOOR };
        rows.push(Row::beside(maker.not_ours(program)?.named(program.name()), floor, Some(1.0)));
    }
    measure_rows(
        bed,
        format!("{}: a packet that is not for svc-lb, by test runs", maker.family),
        rows,
        1,
        effort,
    )
}

/// First packets, and packets that are answered.
fn opened(bed: &mut Bed, maker: Maker, flood: bool, effort: Effort) -> Result<Group> {
    let mut rows = floors(maker, 1)?;
    // No flow is known here.
    rows.truncate(XDP_FLOOR);
    // All others than were there before.
    let new = Flows::New { made: if flood { 1 << 28 } else { 1 << 20 }, flood };
    let syn = |subject, purpose| maker.forward(subject, purpose, Flags::Syn).map(|case| case.of(new));
    let connect = if maker.family == Family::V4 { "floor_connect_v4" } else { "floor_connect_v6" };
    let floor = rows.len();
    let remote = syn(Subject::Own(XdpUplink), Purpose::Remote)?.counts(Effect::OpenedAndForwarded).sent();
    let floor_case = Case { purpose: None, ..syn(Subject::Xdp(connect), Purpose::Remote)? }.sent();
    let [mut floor_case, mut remote] =
        [floor_case.named("floor (c)"), remote.named("XDP, to a remote backend")];
    // A full table takes longer: both have to displace a flow for each new one, from the first measured one on. The
    // established ones that are left are displaced last.
    for case in [&mut floor_case, &mut remote] {
        bed.run(case, ENTRIES)?;
    }
    rows.extend([Row::alone(floor_case), Row::beside(remote, floor, Some(1.15).filter(|_| !flood))]);
    if !flood {
        let affinity = syn(Subject::Own(XdpUplink), Purpose::Affinity)?;
        let maglev = syn(Subject::Own(XdpUplink), Purpose::Maglev)?;
        let local = syn(Subject::Own(TcUplinkIngress), Purpose::Local)?;
        let from_pod = syn(Subject::Own(TcPodIngress), Purpose::FromPod)?;
        let rejected = maker.forward(Subject::Own(XdpUplink), Purpose::Empty, Flags::Syn)?;
        rows.extend([
            Row::beside(
                affinity.counts(Effect::OpenedAndForwarded).sent().named("XDP, of a client with an affinity"),
                floor,
                None,
            ),
            Row::beside(maglev.counts(Effect::Opened).named("XDP, Maglev, local, left to tc"), floor, None),
            Row::beside(
                local.counts(Effect::OpenedAndForwarded).named("tc, to a local backend"),
                floor,
                None,
            ),
            Row::beside(
                from_pod.counts(Effect::OpenedAndForwarded).named("tc, from a pod to a ClusterIP"),
                floor,
                None,
            ),
            Row::alone(rejected.counts(Effect::Rejected).sent().named("XDP, rejected")),
        ]);
    }
    let rate = if flood { ", in a flood of them" } else { "" };
    let title = format!("{}: a new flow's first packet{rate}, by test runs", maker.family);
    measure_rows(bed, title, rows, 0, effort)
}

/// Measures rows in turns. `known`: how many flows are looked at before each turn, so that it begins as it goes on.
fn measure_rows(
    bed: &mut Bed,
    title: String,
    mut rows: Vec<Row>,
    known: u32,
    effort: Effort,
) -> Result<Group> {
    let length = Length::of(known, effort);
    let turns = rounds::interleaved_all(rows.len(), length.rounds * length.turns as usize, |row| {
        let case = &mut rows[row].case;
        if known > 0 {
            bed.run(case, known)?;
        }
        bed.run(case, length.packets)
    })?;
    let values: Vec<Vec<f64>> = turns.iter().map(|turns| length.per_round(turns)).collect();
    let measurements: Vec<_> = (0..rows.len())
        .map(|row| {
            let course = COURSE + usize::from(!rows[row].case.subject.is_xdp());
            let whole = Measurement::new(rows[row].case.name.clone(), Unit::Nanoseconds, values[row].clone());
            let net = if row <= COURSE + 1 { whole.clone() } else { whole.clone().without(&values[course]) };
            (whole, net)
        })
        .collect();
    let compared = rows.iter().zip(&measurements).map(|(row, (whole, net))| match row.floor {
        None => net.clone(),
        Some((floor, at_most)) => {
            let (whole_floor, net_floor) = &measurements[floor];
            let with_course =
                whole_floor.clone().named(format!("{}, both with the course", whole_floor.name));
            let mut net = net.clone().times_of(net_floor, None);
            net.comparisons.extend(whole.clone().times_of(&with_course, at_most).comparisons);
            net
        }
    });
    Ok(Group { title, measurements: compared.collect() })
}
