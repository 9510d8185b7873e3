//! Follows the kernel's interfaces, addresses, routes and neighbours by netlink.

use super::{
    Machine,
    kernel::{read_interfaces, read_routes},
    neighbours::Entry,
    news::News,
    subscription::Subscription,
};
use futures_util::FutureExt;
use rtnetlink::{Handle, new_connection};
use std::{collections::BTreeSet, io, mem, time::Instant};
use tokio::time::sleep_until;

/// Routes are read again after so many times the time that it took: however many there are and however
/// often they change, it costs little.
const REST: u32 = 10;

/// Why the machine could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No netlink socket, or one that failed.
    #[error("cannot use a netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The kernel refused a request.
    #[error("cannot read the interfaces: {0}")]
    Read(#[from] rtnetlink::Error),
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Packets may go other ways now: a link, an address, a route of any table or a rule changed. This
    /// comes first and at once; whether [`Watcher::machine`] changes follows.
    Ways,
    /// A neighbour on these links has another link-layer address now, or none.
    Neighbours(BTreeSet<u32>),
    /// [`Watcher::machine`].
    Machine,
}

/// The network namespace in which it was started, kept up to date.
pub struct Watcher {
    kernel: Handle,
    subscription: Subscription,
    news: News,
    /// Routes are not read again before.
    next_routes: Instant,
    machine: Machine,
}

impl Watcher {
    /// Subscribes, and reads everything once. Must be called within a tokio runtime.
    pub async fn start() -> Result<Self, NodeError> {
        let subscription = Subscription::open()?;
        let (connection, kernel, _) = new_connection()?;
        tokio::spawn(connection);
        let mut watcher = Self {
            kernel,
            subscription,
            news: News::default(),
            next_routes: Instant::now(),
            machine: Machine::default(),
        };
        watcher.news.know(Entry::read_all(&watcher.kernel).await?);
        watcher.read_interfaces().await?;
        watcher.read_routes().await?;
        Ok(watcher)
    }

    /// The machine as it was last read.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Has everything read again by the next [`Self::changed`]: not all that matters is told.
    pub fn mend(&mut self) {
        self.news.stale.interfaces = true;
        self.news.stale.routes = true;
    }

    /// Waits for a change. Messages that came together are one change. Nothing is lost if the future is
    /// dropped before it is ready.
    pub async fn changed(&mut self) -> Result<Change, NodeError> {
        loop {
            while let Some(message) = self.subscription.next().now_or_never() {
                self.news.hear(&message?);
            }
            if mem::take(&mut self.news.ways) {
                return Ok(Change::Ways);
            }
            if !self.news.neighbours.is_empty() {
                return Ok(Change::Neighbours(mem::take(&mut self.news.neighbours)));
            }
            if self.news.stale.neighbours {
                self.news.know(Entry::read_all(&self.kernel).await?);
            }
            let mut changed = self.news.stale.interfaces && self.read_interfaces().await?;
            if self.news.stale.routes && self.next_routes <= Instant::now() {
                changed |= self.read_routes().await?;
            }
            if changed {
                return Ok(Change::Machine);
            }
            tokio::select! {
                message = self.subscription.next() => self.news.hear(&message?),
                () = sleep_until(self.next_routes.into()), if self.news.stale.routes => {}
            }
        }
    }

    /// Reads links and addresses; whether they differ.
    async fn read_interfaces(&mut self) -> Result<bool, NodeError> {
        let interfaces = read_interfaces(&self.kernel).await?;
        self.news.stale.interfaces = false;
        let changed = interfaces != self.machine.interfaces;
        self.machine.interfaces = interfaces;
        Ok(changed)
    }

    /// Reads the main table; whether it differs.
    async fn read_routes(&mut self) -> Result<bool, NodeError> {
        let start = Instant::now();
        let routes = read_routes(&self.kernel).await?;
        self.news.stale.routes = false;
        self.next_routes = Instant::now() + start.elapsed() * REST;
        let changed = routes != self.machine.routes;
        self.machine.routes = routes;
        Ok(changed)
    }
}
