//! A reference model of the dataplane: what Service semantics say of a packet, in plain Rust that shares nothing
//! with the programs, so that it can disagree with them.
//!
//! - [`services`], [`world`]: what there is, and the tables that follow from it
//! - [`datagram`], [`checksum`]: packets, with checksums computed from scratch
//! - [`selection`]: frontends, policies, affinity, algorithms
//! - [`connections`]: who speaks to whom, and how far they are
//! - [`dataplane`]: what becomes of a packet; `opening`: of a first one; [`related`]: of one without ports;
//!   [`answer`]: what its sender is told
//! - [`outcome`], [`tally`]: whether a program did it, and what was counted
//!
//! Around it, what plays a random sequence against the real programs:
//!
//! - [`operation`]: what may happen; [`chance`]: which of it does
//! - [`traffic`]: the frames that are sent
//! - [`node`]: the programs, on the interfaces of the world
//! - [`play`]: packets from hook to hook, as the kernel would carry them
//! - [`shrink`]: the shortest sequence that fails

pub mod answer;
pub mod chance;
pub mod checksum;
pub mod connections;
pub mod datagram;
pub mod dataplane;
pub mod node;
mod opening;
pub mod operation;
pub mod outcome;
pub mod play;
pub mod related;
pub mod selection;
pub mod services;
pub mod shrink;
pub mod tally;
pub mod traffic;
pub mod world;
