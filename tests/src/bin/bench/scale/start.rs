//! A cold start: nothing is loaded, pinned or known.

use super::{
    memory,
    nftables::Rules,
    scene::{Scene, Sync},
};
use crate::{
    measurement::{Measurement, Unit},
    report::{Group, thousands},
    rounds::Effort,
};
use anyhow::Result;

/// What is measured in a round.
struct Round {
    /// From the spawn of the agent until it said that it serves all Services, in milliseconds.
    whole: f64,
    /// What the agent tells of it.
    sync: Sync,
    /// The agent's memory, in megabytes.
    resident: f64,
    /// That of the maps, in megabytes.
    maps: f64,
    /// Loading the rules, in milliseconds; `None` in a round without them.
    nftables: Option<f64>,
}

/// Measures starts with the Services of a scene. The last agent goes on.
pub fn measure(scene: &mut Scene, effort: Effort) -> Result<Group> {
    let services = scene.cluster.services();
    let part = Rules::part(&scene.cluster, effort);
    // The kernel takes rules back in its own time: not while something is measured.
    let mut loaded = Vec::new();
    let mut rounds: Vec<Round> = Vec::new();
    for _ in 0..number_of_rounds(services, effort) {
        if !rounds.is_empty() {
            scene.stop()?;
        }
        let nftables = if rounds.len() < Rules::rounds(&scene.cluster, effort) {
            let (rules, took) = Rules::load(scene, part)?;
            loaded.push(rules);
            Some(took)
        } else {
            None
        };
        let whole = scene.start()?.as_secs_f64() * 1e3;
        let (resident, maps) = (memory::resident(scene)?, memory::of_maps(scene)?);
        rounds.push(Round { whole, sync: scene.last_sync()?, resident, maps, nftables });
    }
    scene.rules = loaded.pop().filter(|_| part == 1);
    Ok(Group {
        title: format!(
            "Cold start with {} Services of 10 endpoints, {:.1} MB of manifests",
            thousands(services),
            scene.manifests
        ),
        measurements: measurements(services, &rounds, part),
    })
}

/// Starts with many Services take long, and those with fewer have no targets.
fn number_of_rounds(services: u32, effort: Effort) -> usize {
    match (effort, services) {
        (_, 10_000..) => 3,
        (Effort::Quick, _) => 1,
        (Effort::Full, _) => 5,
    }
}

/// `part`: one in so many Services has nftables rules.
fn measurements(services: u32, rounds: &[Round], part: u32) -> Vec<Measurement> {
    let values = |name: &str, unit, value: &dyn Fn(&Round) -> f64| {
        Measurement::new(name, unit, rounds.iter().map(value).collect())
    };
    let mut whole = values("spawn to fully programmed", Unit::Milliseconds, &|round| round.whole);
    let mut rest =
        values("the same without parsing", Unit::Milliseconds, &|round| round.whole - round.sync.parse);
    let mut resident = values("agent, resident", Unit::Megabytes, &|round| round.resident);
    match services {
        10_000 => {
            whole = whole.at_most(2000.0);
            rest = rest.at_most(1000.0);
            resident = resident.at_most(80.0);
        }
        50_000 => whole = whole.at_most(8000.0),
        _ => {}
    }
    let mut all = Vec::new();
    let nftables: Vec<f64> = rounds.iter().filter_map(|round| round.nftables).collect();
    if !nftables.is_empty() {
        let name = if part == 1 { "nftables: nft -f" } else { "nftables: nft -f of a quarter" };
        let nftables = Measurement::new(name, Unit::Milliseconds, nftables);
        // There may be fewer loads than starts.
        let each = Measurement { values: vec![nftables.median(); rounds.len()], ..nftables.clone() };
        whole = whole.speed_of(&each, (services == 10_000).then_some(4.0 / f64::from(part)));
        all.push(nftables);
    }
    all.extend([
        whole,
        rest,
        values("of it: read and parse", Unit::Milliseconds, &|round| round.sync.parse),
        values("of it: compile", Unit::Milliseconds, &|round| round.sync.compile),
        values("of it: write to the maps", Unit::Milliseconds, &|round| round.sync.write),
        values("map writes", Unit::Count, &|round| round.sync.writes),
        resident,
        values("maps, in the kernel", Unit::Megabytes, &|round| round.maps),
    ]);
    all
}
