//! One pass over all network namespaces.

use super::{diagnosis::Diagnosis, message::Family, namespaces};
use crate::dataplane::{LostSockets, MapError};
use nix::sched::{CloneFlags, setns};
use std::{collections::HashMap, fs::File, io, panic::resume_unwind, thread};
use svc_lb_common::socket::Remote;

/// Why sockets may be left open.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// It is not known which sockets have lost their backend.
    #[error(transparent)]
    Lost(#[from] MapError),
    /// There is no thread to enter namespaces with.
    #[error("no thread can be started: {0}")]
    Thread(#[source] io::Error),
    /// A network namespace cannot be entered.
    #[error("a network namespace cannot be entered: {0}")]
    Enter(#[source] io::Error),
    /// The kernel does not tell of sockets.
    #[error("the kernel does not tell which sockets there are (CONFIG_INET_UDP_DIAG): {0}")]
    Read(#[source] io::Error),
    /// The kernel does not close sockets.
    #[error("the kernel does not close a socket (CONFIG_INET_DIAG_DESTROY): {0}")]
    Close(#[source] io::Error),
}

/// Closes the connected UDP sockets that have lost their backend; how many. What fails in one network
/// namespace does not keep the others from being looked at.
pub fn close_lost(sockets: &LostSockets) -> Result<usize, PassError> {
    let mut pass = Pass { sockets, wanted: lost(sockets)?, closed: 0 };
    if !pass.wanted.is_empty() {
        // A thread of its own: one that has entered a namespace keeps it alive for as long as it is there.
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("svc-lb-netns".to_owned());
            let thread = thread.spawn_scoped(scope, || pass.go_round()).map_err(PassError::Thread)?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
    }
    Ok(pass.closed)
}

/// The sockets that have lost their backend, by their cookies, and that backend.
fn lost(sockets: &LostSockets) -> Result<HashMap<u64, Remote>, MapError> {
    Ok(sockets.read()?.into_iter().map(|socket| (socket.cookie, socket.backend)).collect())
}

struct Pass<'a> {
    sockets: &'a LostSockets,
    /// The lost sockets that were not found yet.
    wanted: HashMap<u64, Remote>,
    closed: usize,
}

impl Pass<'_> {
    /// Looks into one network namespace after the other, until all lost sockets are found. The thread
    /// stays where it was last.
    fn go_round(&mut self) -> Result<(), PassError> {
        let mut outcome = Ok(());
        for namespace in namespaces::each() {
            if self.wanted.is_empty() {
                break;
            }
            if let Err(error) = self.look_into(&namespace) {
                outcome = Err(error);
            }
        }
        outcome
    }

    fn look_into(&mut self, namespace: &File) -> Result<(), PassError> {
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|error| PassError::Enter(error.into()))?;
        let mut diagnosis = Diagnosis::open().map_err(PassError::Read)?;
        let mut found = Vec::new();
        for family in [Family::V4, Family::V6] {
            let mut sockets = diagnosis.connected(family).map_err(PassError::Read)?;
            sockets.retain(|socket| self.wanted.remove(&socket.cookie()) == Some(socket.remote()));
            found.append(&mut sockets);
        }
        if found.is_empty() {
            return Ok(());
        }
        // Somebody may have connected one of them anew meanwhile, perhaps to the same address.
        let lost = lost(self.sockets)?;
        for socket in found.into_iter().filter(|it| lost.get(&it.cookie()) == Some(&it.remote())) {
            if diagnosis.close(socket).map_err(PassError::Close)? {
                self.closed += 1;
            }
        }
        Ok(())
    }
}
