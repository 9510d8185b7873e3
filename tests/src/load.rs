//! Clients that never stop asking.

use crate::{
    dial::{Dial, Tally},
    namespace::join,
    wait::{SOON, until},
};
use anyhow::{Context, Result};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// How far the clients are.
#[derive(Debug, Default)]
pub struct Progress {
    answered: AtomicUsize,
    failed: AtomicBool,
}

impl Progress {
    /// Waits until the clients have got so many more answers, or one has failed.
    pub fn await_more(&self, answers: usize) -> Result<()> {
        let goal = self.answered.load(Ordering::Relaxed) + answers;
        until("clients get answers", SOON, || {
            let over = self.failed.load(Ordering::Relaxed) || self.answered.load(Ordering::Relaxed) >= goal;
            Ok(over.then_some(()))
        })
    }
}

/// Lets every client ask, one new connection after the other, as long as something happens. Fails if a
/// single one did not get its answer; else says who answered each client.
pub fn during(clients: &[Dial<'_>], happening: impl FnOnce(&Progress) -> Result<()>) -> Result<Vec<Tally>> {
    let (progress, over) = (Progress::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let threads: Vec<_> =
            clients.iter().map(|client| scope.spawn(|| ask_on(client, &progress, &over))).collect();
        let ending = Ending(&over);
        let happened = happening(&progress);
        drop(ending);
        let tallies = threads.into_iter().map(join).collect::<Result<_>>()?;
        happened.map(|()| tallies)
    })
}

/// Ends what goes on in other threads, also when a scenario panics that they would be waited for.
pub(crate) struct Ending<'a>(pub &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ask_on(client: &Dial<'_>, progress: &Progress, over: &AtomicBool) -> Result<Tally> {
    let mut tally = Tally::default();
    while !over.load(Ordering::Relaxed) {
        let answer = client.ask().inspect_err(|_| progress.failed.store(true, Ordering::Relaxed));
        let answer = answer.with_context(|| format!("after {tally}: {client:?}"))?;
        *tally.0.entry(answer.by).or_default() += 1;
        progress.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(tally)
}
