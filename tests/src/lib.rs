//! The harness: hosts in network namespaces, and what they say to each other.
//!
//! A scenario starts a [`Rig`], gives its agent Services, lets clients talk, and asserts what they saw
//! and which program did the work:
//!
//! ```no_run
//! use svc_lb::compile::Family;
//! use svc_lb_common::counters::Program;
//! use svc_lb_tests::{Rig, Service, Xdp};
//!
//! # fn main() -> anyhow::Result<()> {
//! let rig = Rig::routed().xdp(Xdp::Native).start()?;
//! let backend = rig.remote_pod("backend")?;
//! let service = Service::number(1).behind([&backend]);
//! rig.apply(&[&service])?;
//!
//! let work = rig.work_of(|| {
//!     let answer = rig.client().tcp(rig.node_port(&service, Family::V4)).ask()?;
//!     assert_eq!(answer.by, "backend");
//!     Ok(())
//! })?;
//! assert_eq!(work.forwarded_by(), [Program::XdpUplink]);
//! # Ok(())
//! # }
//! ```
//!
//! [`Rig::of`] a [`Topology`] is a rig in another kind of network: with bridges, a VXLAN, two uplinks. What
//! each program has to do there is in [`finishers::TABLE`].
//!
//! With [`SocketLb::On`] the node and its pods are in a cgroup of the rig, where sockets are balanced: the node
//! is a client then, too.
//!
//! Everything is made of Rust threads and sockets, in namespaces that have no name: whatever happens to
//! the test, the kernel cleans up; the cgroup of one that is killed goes with the next. It needs root, cgroup v2
//! and nothing else: no program is called but svc-lb itself, which is built on first use. What the agent prints
//! is shown when a test fails.

pub mod agent;
pub mod binary;
mod bpf;
pub mod bulk;
pub mod calls;
pub mod cgroup;
pub mod child;
pub mod conversation;
pub mod counters;
pub mod datagram;
pub mod dial;
pub mod finishers;
pub mod foreign_connect;
pub mod frame;
pub mod garbage;
pub mod handshakes;
pub mod host;
pub mod icmp;
pub mod lan;
pub mod large_cluster;
pub mod links;
pub mod load;
pub mod losses;
pub mod manifest;
pub mod model;
pub mod namespace;
pub mod network;
pub mod nftables;
pub mod offload;
pub mod overlay;
pub mod path_mtu;
pub mod ping;
pub mod plan;
pub mod pods;
pub mod private_run;
pub mod programs;
pub mod rig;
mod scenarios;
pub mod sctp;
pub mod server;
pub mod stream;
pub mod tap;
pub mod topology;
pub mod traceroute;
pub mod tun;
pub mod unconnected;
pub mod wait;
pub mod wire;
pub mod xdp_pass;

pub use host::Host;
pub use manifest::Service;
pub use namespace::Namespace;
pub use rig::{Rig, SocketLb, Xdp};
pub use topology::Topology;
