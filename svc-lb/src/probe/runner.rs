//! Runs probes, on a thread of their own: whatever the agent does meanwhile, they see how quick Pods are.

use super::{attempt::attempt, schedule::Schedule, spec::Probe};
use std::{
    collections::{BTreeMap, HashMap},
    io, mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Semaphore, mpsc},
    task::AbortHandle,
    time,
};

/// How many probes may be under way at once. Each has a socket.
const AT_ONCE: usize = 256;
/// How many names may be resolved at once: each takes a thread.
const RESOLVERS: usize = 8;
/// How long results are gathered after some have been told, so that many Pods which change cost few syncs.
const GATHER: Duration = Duration::from_millis(20);
/// How many results may wait.
const WAITING: usize = 1024;

/// A probe that is to be run again and again.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is probed, and when.
    pub probe: Probe,
    /// Whether nothing is known yet: then it is due after its initial delay.
    pub is_new: bool,
    /// What tells it from others.
    pub place: String,
}

/// What came of a job, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The number of the job.
    pub job: u64,
    /// Success, or why not.
    pub result: Result<(), String>,
}

/// Results, those of a moment together.
pub type Outcomes = mpsc::Receiver<Vec<Outcome>>;

/// Runs jobs until it is dropped.
#[derive(Debug)]
pub struct Runner(mpsc::UnboundedSender<BTreeMap<u64, Job>>);

impl Runner {
    /// Starts without jobs, in the network namespace of this thread.
    pub fn start() -> io::Result<(Self, Outcomes)> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (sender, outcomes) = mpsc::channel(1);
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS).build()?;
        thread::Builder::new().name("probes".to_owned()).spawn(move || work(&runtime, ordered, sender))?;
        Ok((Self(orders), outcomes))
    }

    /// Runs these jobs, by their numbers, and no others. One whose number stays goes on undisturbed.
    pub fn run(&self, jobs: BTreeMap<u64, Job>) {
        // The thread ends only with this.
        let _ = self.0.send(jobs);
    }
}

/// A job's task; it ends with this.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn work(
    runtime: &Runtime,
    mut ordered: mpsc::UnboundedReceiver<BTreeMap<u64, Job>>,
    outcomes: mpsc::Sender<Vec<Outcome>>,
) {
    runtime.block_on(async {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let (results, gathered) = mpsc::channel(WAITING);
        tokio::spawn(gather(gathered, outcomes));
        let mut tasks: HashMap<u64, Task> = HashMap::new();
        while let Some(jobs) = ordered.recv().await {
            tasks.retain(|number, _| jobs.contains_key(number));
            for (number, job) in jobs {
                let start = || repeat(number, job, Arc::clone(&permits), results.clone());
                tasks.entry(number).or_insert_with(|| Task(tokio::spawn(start()).abort_handle()));
            }
        }
    });
}

async fn repeat(number: u64, job: Job, permits: Arc<Semaphore>, results: mpsc::Sender<Outcome>) {
    let mut schedule = Schedule::new(&job.probe.timing, job.is_new, &job.place, Instant::now());
    loop {
        time::sleep_until(schedule.next().into()).await;
        let result = {
            let Ok(_permit) = permits.acquire().await else { return };
            attempt(&job.probe).await
        };
        if results.send(Outcome { job: number, result }).await.is_err() {
            return;
        }
        schedule.done(Instant::now());
    }
}

/// Tells results: at once, and then those of some time together.
async fn gather(mut results: mpsc::Receiver<Outcome>, outcomes: mpsc::Sender<Vec<Outcome>>) {
    let mut gathered = Vec::new();
    while results.recv_many(&mut gathered, WAITING).await > 0 {
        if outcomes.send(mem::take(&mut gathered)).await.is_err() {
            return;
        }
        time::sleep(GATHER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_hundreds_in_a_few_batches() {
        let (results, gathered) = mpsc::channel(WAITING);
        let (sender, mut outcomes) = mpsc::channel(1);
        tokio::spawn(gather(gathered, sender));
        tokio::spawn(async move {
            for job in 0..500 {
                results.send(Outcome { job, result: Ok(()) }).await.expect("somebody gathers");
                time::sleep(Duration::from_millis(1)).await;
            }
        });
        let (start, mut results, mut batches) = (time::Instant::now(), 0, 0);
        while let Some(several) = outcomes.recv().await {
            assert!(batches > 0 || start.elapsed() < GATHER);
            results += several.len();
            batches += 1;
        }
        assert_eq!(results, 500);
        assert!(batches <= 30, "{batches} batches");
    }
}
