//! What the number of Services costs: to start with them, to change one, to look one up.
//!
//! Each size has a rig of its own, and the agent is started there from outside, with its defaults. The same
//! Services are loaded, and changed, as kube-proxy's nftables rules.

mod attached;
mod change;
mod first_packet;
mod memory;
mod nftables;
mod scene;
mod start;

use crate::{parallel, report::Group, rounds::Effort};
use anyhow::Result;
use scene::Scene;

/// How many Services there are; the fewest are what the cost of a first packet is compared with.
const SIZES: [u32; 5] = [10, 100, 1_000, 10_000, 50_000];
/// How many of these are enough for a first impression.
const QUICK_SIZES: usize = 4;
/// How many endpoints each of them has.
const ENDPOINTS: u32 = 10;

/// Measures everything.
pub fn measure(effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
    let sizes = effort.of(&SIZES[..], &SIZES[..QUICK_SIZES]);
    let mut scenes = parallel::each(sizes.iter().copied(), Scene::build)?;
    for scene in &mut scenes {
        done(start::measure(scene, effort)?);
    }
    // Before the changes, which fill the flow tables with connections.
    first_packet::measure(&scenes, effort, done)?;
    change::measure(&mut scenes, effort, done)
}
