//! The harness: hosts in network namespaces, and what they say to each other.
//!
//! A scenario starts a [`Rig`], gives its agent Services, lets clients talk, and asserts what they saw
//! and which program did the work. Everything is made of Rust threads and sockets in namespaces that
//! have no name: whatever happens to the test, the kernel cleans up.

pub mod agent;
pub mod binary;
pub mod bulk;
pub mod conversation;
pub mod counters;
pub mod dial;
pub mod frame;
pub mod host;
pub mod links;
pub mod load;
pub mod losses;
pub mod manifest;
pub mod namespace;
pub mod nftables;
pub mod offload;
pub mod ping;
pub mod plan;
pub mod private_run;
pub mod rig;
pub mod routed;
mod scenarios;
pub mod server;
pub mod wait;
pub mod wire;
pub mod xdp_pass;

pub use host::Host;
pub use manifest::Service;
pub use namespace::Namespace;
pub use rig::{Rig, Xdp};
