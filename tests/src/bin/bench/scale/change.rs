//! One endpoint changes.

use super::scene::{Scene, Sync};
use crate::{
    measurement::{Measurement, Unit},
    report::{Group, thousands},
    rounds::Effort,
};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// Rounds a size.
const ROUNDS: u32 = 20;
/// The same for a first impression.
const QUICK_ROUNDS: u32 = 9;
/// In how many of the rounds the rules are changed too: that can take seconds.
const RULES_ROUNDS: u32 = 5;
/// How long a change may take.
const LIMIT: Duration = Duration::from_mins(1);
/// The least size, which the number of map writes is compared with.
const LEAST: u32 = 100;
/// The size that has targets.
const TARGET: u32 = 10_000;

/// What is measured in a round.
struct Round {
    /// From before the file is written until a first packet goes to the new endpoint, in milliseconds.
    whole: f64,
    /// What the agent tells of it.
    sync: Sync,
    /// Changing the rules, in milliseconds, if they are compared and it is one of the first rounds.
    nftables: Option<f64>,
}

/// Measures changes in each scene.
pub fn measure(scenes: &mut [Scene], effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
    let rounds = effort.of(ROUNDS, QUICK_ROUNDS);
    let mut least = None;
    for scene in scenes.iter_mut().filter(|scene| scene.cluster.services() >= LEAST) {
        // The first change finds nothing in any cache.
        change(scene, 0)?;
        let rounds = (1..=rounds).map(|round| change(scene, round)).collect::<Result<Vec<_>>>()?;
        let services = scene.cluster.services();
        let group = Group {
            title: format!("One endpoint changed among {} Services of 10 endpoints", thousands(services)),
            measurements: measurements(services, &rounds, least.as_ref()),
        };
        if services == LEAST {
            least = group.measurements.last().cloned();
        }
        done(group);
    }
    Ok(())
}

/// Replaces an endpoint of some Service, and waits for the first packet to the new one.
fn change(scene: &mut Scene, round: u32) -> Result<Round> {
    // A prime, so that the changes are all over the files.
    let service = round * 7919 % scene.cluster.services();
    let before = scene.last_sync()?;
    let new = scene.cluster.replace_endpoint(service);
    let target = scene.cluster.cluster_ip(service);
    let (name, text) = scene.cluster.file_of(service);
    let rules = scene.rules.as_ref().filter(|_| round <= RULES_ROUNDS);
    let nftables = rules.map(|rules| rules.update(&scene.cluster, service)).transpose()?;
    let whole = scene.with_client(|client| {
        let start = Instant::now();
        scene.rig.write_file(&name, &text)?;
        loop {
            if client.connect(target)?.to == new {
                return Ok(start.elapsed());
            }
            ensure!(start.elapsed() < LIMIT, "nobody is sent to the new endpoint {new} of {target}");
        }
    })?;
    Ok(Round { whole: milliseconds(whole), sync: scene.sync_after(&before)?, nftables })
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn measurements(services: u32, rounds: &[Round], least: Option<&Measurement>) -> Vec<Measurement> {
    let values = |name: &str, unit, value: &dyn Fn(&Round) -> f64| {
        Measurement::new(name, unit, rounds.iter().map(value).collect())
    };
    let mut whole = values("file write to first packet", Unit::Milliseconds, &|round| round.whole);
    let mut write = values("of it: write to the maps", Unit::Milliseconds, &|round| round.sync.write);
    let mut writes = values("map writes", Unit::Count, &|round| round.sync.writes);
    if services == TARGET {
        whole = whole.at_most(50.0);
        write = write.at_most(1.0);
    }
    if let Some(least) = least {
        writes = writes.times_of(least, (services == TARGET).then_some(1.0));
    }
    let mut all = Vec::new();
    let nftables: Vec<f64> = rounds.iter().filter_map(|round| round.nftables).collect();
    if !nftables.is_empty() {
        let nftables = Measurement::new("nftables: nft -f", Unit::Milliseconds, nftables);
        whole = whole.speed_of(&nftables, None);
        all.push(nftables);
    }
    all.extend([
        whole,
        values("of it: read and parse", Unit::Milliseconds, &|round| round.sync.parse),
        values("of it: compile", Unit::Milliseconds, &|round| round.sync.compile),
        write,
        writes,
    ]);
    all
}
