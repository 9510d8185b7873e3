//! Probes in motion: what is followed is run, what comes of it is kept for the next agent.

use super::{
    runner::{Outcome, Outcomes, Runner},
    watch::{Memory, Watch},
};
use crate::{
    source::{Difference, Name, Object, Objects},
    state_dir::{StateDir, StateError},
};
use k8s_openapi::api::core::v1::Pod;
use std::{collections::BTreeMap, io, sync::Arc};
use tracing::{info, warn};

/// The file of the containers that were ready.
const READY: &str = "readiness.json";

/// Probes Pods, until it is dropped.
#[derive(Debug)]
pub struct Probes {
    watch: Watch,
    runner: Runner,
    state: StateDir,
    kept: Memory,
    problem: Option<String>,
}

impl Probes {
    /// Starts in the network namespace of this thread, with what an earlier agent knew; and where the agent
    /// finds what it is to [`record`](Self::record).
    pub fn start(state: StateDir) -> io::Result<(Self, Outcomes)> {
        let kept: Memory = state
            .read(READY)
            .unwrap_or_else(|error| {
                warn!("which Pods were ready is forgotten: {error}");
                None
            })
            .unwrap_or_default();
        let (runner, outcomes) = Runner::start()?;
        let watch = Watch::new(kept.clone());
        Ok((Self { watch, runner, state, kept, problem: None }, outcomes))
    }

    /// Leaves nothing that a later agent knows: what was ready now may not be then.
    pub fn forget(state: &StateDir) -> Result<(), StateError> {
        state.remove(READY)
    }

    /// Probes the Pods of these objects and no others, and writes what is known into their Ready conditions, also
    /// of those in the difference to the objects before.
    pub fn follow(&mut self, objects: &mut Objects, difference: &mut Difference) {
        if difference.before.pods.is_empty() && difference.after.pods.is_empty() {
            return;
        }
        self.watch.follow(&objects.pods);
        self.runner.run(self.watch.jobs());
        for (name, pod) in objects.pods.iter_mut().chain(&mut difference.after.pods) {
            self.settle(name, pod);
        }
        self.keep();
    }

    /// Counts results, and writes into the objects what changed. Returns the Pods that did.
    pub fn record(
        &mut self,
        outcomes: Vec<Outcome>,
        objects: &mut Objects,
    ) -> BTreeMap<Arc<Name>, Object<Pod>> {
        let mut changed = BTreeMap::new();
        for (name, ready) in self.watch.record(outcomes) {
            info!("pod {name} is {}", if ready { "ready" } else { "not ready" });
            if let Some(pod) = objects.pods.get_mut(&name) {
                self.settle(&name, pod);
                changed.insert(Arc::new(name), pod.clone());
            }
        }
        if !changed.is_empty() {
            self.keep();
        }
        changed
    }

    /// Writes what is known of a Pod into its Ready condition.
    fn settle(&self, name: &Name, pod: &mut Object<Pod>) {
        if let Some(settled) = self.watch.settled(name) {
            pod.value = settled;
        }
    }

    /// The containers that are not ready, and why, a line each.
    pub fn not_ready(&self) -> Vec<String> {
        self.watch.not_ready()
    }

    /// Why the next agent will not know what this one does; `None` if it will.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Keeps what is known for the next agent.
    fn keep(&mut self) {
        let memory = self.watch.memory();
        if memory != self.kept || self.problem.is_some() {
            let written = self.state.write(READY, &memory);
            self.problem = written.err().map(|error| format!("which Pods are ready is not kept: {error}"));
            self.kept = memory;
        }
    }
}
