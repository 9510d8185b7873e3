//! Sends the packets of all cases, and judges what becomes of them.

use crate::{
    case::{Case, Packet},
    difference::expected,
    node::{Flags, Node, Stage},
    origin::{Origin, Pods},
    tally::Judgement,
};
use anyhow::{Context, Result};
use ipnet::IpNet;
use std::{collections::BTreeSet, mem};

/// Judges every packet of every case, in the order of both.
///
/// Programs are loaded once for all cases with the same flags. What depends on `--external-cluster-ips` is
/// sent both with and without.
pub fn judge(cases: &[&Case]) -> Result<Vec<Vec<Judgement>>> {
    let pods = Pods::of(cases.iter().copied());
    let mut judgements: Vec<Vec<Judgement>> =
        cases.iter().map(|case| vec![Judgement::Agree; case.packets.len()]).collect();
    let ranges: BTreeSet<&Vec<IpNet>> = cases.iter().map(|case| &case.node.service_cidrs).collect();
    for (service_ranges, external_cluster_ips) in
        ranges.into_iter().flat_map(|ranges| [false, true].map(|flag| (ranges, flag)))
    {
        let flags = Flags { service_ranges: service_ranges.clone(), external_cluster_ips };
        let sends =
            |case: &Case, packet: &Packet| !external_cluster_ips || depends_on_flag(case, packet, &pods);
        let plays = |case: &Case| {
            case.node.service_cidrs == *service_ranges && case.packets.iter().any(|it| sends(case, it))
        };
        let played: Vec<_> = cases.iter().zip(&mut judgements).filter(|(case, _)| plays(case)).collect();
        if played.is_empty() {
            continue;
        }
        Node::with(&flags, |node| {
            for (case, judgements) in played {
                let mut stage = node.play(case).context("the case cannot be played");
                for (packet, judgement) in case.packets.iter().zip(judgements) {
                    if sends(case, packet) {
                        let seen = match &mut stage {
                            Ok(stage) => judge_packet(stage, case, packet, &pods, &flags),
                            Err(error) => Judgement::Wrong(format!("{error:#}")),
                        };
                        *judgement = mem::replace(judgement, Judgement::Agree).and(seen);
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(judgements)
}

/// Whether `--external-cluster-ips` matters to a packet.
fn depends_on_flag(case: &Case, packet: &Packet, pods: &Pods) -> bool {
    pods.origin(case, packet) == Origin::Outside && case.is_cluster_ip(packet.destination)
}

fn judge_packet(
    stage: &mut Stage<'_>,
    case: &Case,
    packet: &Packet,
    pods: &Pods,
    flags: &Flags,
) -> Judgement {
    let origin = pods.origin(case, packet);
    let mut compare = || -> Result<Judgement> {
        let (expected, differences) = expected(case, packet, origin, flags.external_cluster_ips)?;
        let outcome = stage.outcome(packet, origin)?;
        if outcome == expected {
            return Ok(Judgement::of(differences));
        }
        let mut why = format!("expected: {expected}\nfound:    {outcome}");
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        for line in differences.iter().chain(&stage.errors) {
            why = format!("{why}\n{line}");
        }
        Ok(Judgement::Wrong(why))
    };
    compare().unwrap_or_else(|error| Judgement::Wrong(format!("{error:#}")))
}
