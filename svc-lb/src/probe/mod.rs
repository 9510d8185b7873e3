//! Readiness probes: without Kubernetes nobody else watches the Pods that manifests name.
//!
//! ```text
//! Pods ──► spec ──► Watch ── jobs ──► Runner ── outcomes ──► Watch ──► the Ready condition of Pods
//! ```
//!
//! - [`Probes`]: all of it in motion
//! - `spec`: what a container's `readinessProbe` asks for, with the API's defaults
//! - `tally`: results → readiness, by thresholds
//! - `watch`: which Pods are probed, and what is known of them; pure, as the two above
//! - `schedule`: when a probe is due; pure
//! - `runner`: runs probes; `attempt`, `http`, `tls`, `connection`: one probe, once
//!
//! They are run as kubelet runs them, from the node's network namespace. What the probes find is written
//! into the Pods' Ready condition, as kubelet does, so that nothing after it knows of probes.

mod attempt;
mod connection;
mod http;
mod probes;
mod runner;
mod schedule;
mod spec;
mod tally;
#[cfg(test)]
mod tests;
mod tls;
mod watch;

pub use probes::Probes;
pub use runner::{Outcome, Outcomes};
