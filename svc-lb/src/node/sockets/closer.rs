//! When sockets are looked at.

use super::pass::{PassError, close_lost};
use crate::dataplane::{DataplaneError, LostSockets};
use std::{
    error::Error,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};
use tracing::info;

/// How long to wait before a second look: a connect() that had chosen a backend before that went may not
/// have ended when the first one came.
const AGAIN: Duration = Duration::from_secs(1);
/// How long to rest after a look, so that endpoints that come and go all the time cost little.
const REST: Duration = Duration::from_millis(100);

/// Closes connected UDP sockets whose backend is gone, until it is dropped.
pub struct Closer {
    requests: SyncSender<()>,
    problem: Arc<Mutex<Option<String>>>,
}

impl Closer {
    /// Starts a thread. Where nobody can tell which sockets are lost, there is only a problem.
    pub fn start(sockets: Result<LostSockets, DataplaneError>) -> io::Result<Self> {
        let (requests, requested) = sync_channel(1);
        let problem = Arc::new(Mutex::new(None));
        let closer = Self { requests, problem: Arc::clone(&problem) };
        let tell = move |words| *problem.lock().unwrap_or_else(PoisonError::into_inner) = words;
        match sockets {
            Ok(sockets) => {
                let look = move || tell(words(close_lost(&sockets)));
                let thread = thread::Builder::new().name("svc-lb-sockets".to_owned());
                thread.spawn(move || work(&requested, look))?;
            }
            Err(error) => tell(Some(not_closed(&error))),
        }
        Ok(closer)
    }

    /// Backends may be gone: looks at all sockets soon, and once more when what went on meanwhile has ended.
    pub fn look(&self) {
        // A request that still waits is as good as another.
        let _ = self.requests.try_send(());
    }

    /// Why sockets may be left open, in words; `None` while all is well.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn words(outcome: Result<usize, PassError>) -> Option<String> {
    match outcome {
        Ok(0) => None,
        Ok(closed) => {
            info!("{closed} connected UDP sockets were closed: their endpoint is gone");
            None
        }
        Err(error) => Some(not_closed(&error)),
    }
}

fn not_closed(error: &dyn Error) -> String {
    format!("UDP sockets of removed endpoints are not closed: {error}")
}

/// Looks for each request, and once more when there was none for a while.
fn work(requests: &Receiver<()>, look: impl Fn()) {
    let look = || {
        look();
        thread::sleep(REST);
    };
    while requests.recv().is_ok() {
        look();
        loop {
            match requests.recv_timeout(AGAIN) {
                Ok(()) => look(),
                Err(RecvTimeoutError::Timeout) => break look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc::channel, time::Instant};

    #[test]
    fn whoever_asks_has_a_look_at_once_and_another_one_later() {
        let (requests, requested) = sync_channel(1);
        let (looks, looked) = channel();
        let worker = thread::spawn(move || {
            work(&requested, || looks.send(Instant::now()).expect("somebody counts"));
        });
        let asked = Instant::now();
        requests.send(()).expect("a worker");
        let first = looked.recv().expect("a look");
        assert!(first - asked < AGAIN);
        let second = looked.recv().expect("another look");
        assert!(second - first >= AGAIN);
        drop(requests);
        worker.join().expect("the end");
        assert_eq!(looked.try_iter().count(), 0, "nobody has asked for more");
    }

    #[test]
    fn where_nobody_can_tell_what_is_lost_there_is_a_problem() {
        let error = DataplaneError::Object("no program".to_owned());
        let closer = Closer::start(Err(error)).expect("no thread is needed");
        closer.look();
        let problem = closer.problem().expect("a problem");
        assert!(problem.starts_with("UDP sockets of removed endpoints are not closed: "), "{problem}");
    }
}
