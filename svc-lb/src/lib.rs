//! The agent of svc-lb: one pipeline, one direction.
//!
//! ```text
//! source ── Objects ──► cluster ── Cluster ──► compile ── Tables ──► dataplane::sync ──► BPF maps
//!                                     ▲
//!                                   node
//! ```
//!
//! - [`source`]: manifests in files → Kubernetes objects, and what is wrong with them
//! - [`cluster`]: the objects joined: services with their endpoints
//! - [`node`]: interfaces, addresses, routes and sysctls of the machine
//! - [`compile`]: cluster + node → the tables that the programs want; pure
//! - [`dataplane`]: load, attach, pin, typed maps, sync, expiry; the only place that knows aya
//! - [`agent`]: the pipeline in motion
//! - [`cli`]: one file a subcommand
//! - [`options`]: the values of options that more than one of them reads
//! - [`state_dir`], [`status`]: what the agent keeps, and what it says of itself
//! - [`probe`]: readiness probes of Pods
//! - [`health`], [`health_check`], [`metrics`], [`server`]: what it answers over HTTP

pub mod agent;
pub mod cli;
pub mod cluster;
pub mod compile;
pub mod dataplane;
pub mod health;
pub mod health_check;
pub mod metrics;
pub mod node;
pub mod options;
pub mod probe;
pub mod server;
pub mod source;
pub mod state_dir;
pub mod status;
