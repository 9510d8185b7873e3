//! What both sides of a BPF map share: the types of keys and values, and the arithmetic on them
//! that is worth testing on the host.
//!
//! - [`address`]: IP addresses and ports as they stand in a packet, and the family they belong to
//! - [`flow`]: one direction of a tracked connection, and its partner
//! - [`connection`], [`timeout`]: what was seen of it, and how long it lives
//! - [`frontend`], [`service`], [`backend`]: what the agent compiled
//! - [`fragment`]: how the fragments of a datagram are known again
//! - [`socket`]: what a socket knows of the service that it speaks to
//! - [`selection`]: which slot a new flow gets
//! - [`affinity`]: which backend a client had last
//! - [`source_range`]: which sources may use a service
//! - [`hash`]: what addresses and ports decide
//! - [`hint`]: which addresses svc-lb may have to do with
//! - [`snat`]: which source port a translated flow tries
//! - [`checksum`]: Internet checksums (RFC 1071), incremental (RFC 1624)
//! - [`crc32c`]: the checksum of SCTP, incremental
//! - [`sctp`]: what the chunks of SCTP mean to a flow
//! - [`interface`], [`config`]: what the agent knows of the node
//! - [`link`]: link-layer addresses
//! - [`counters`]: what the programs count
//!
//! Every type is `#[repr(C)]`, has no padding, and asserts its size at compile time: the two sides
//! are built by different compilers.
#![no_std]

pub mod address;
pub mod affinity;
pub mod backend;
pub mod checksum;
pub mod config;
pub mod connection;
pub mod counters;
pub mod crc32c;
pub mod flow;
pub mod fragment;
pub mod frontend;
pub mod hash;
pub mod hint;
pub mod interface;
pub mod link;
pub mod sctp;
pub mod selection;
pub mod service;
pub mod snat;
pub mod socket;
pub mod source_range;
pub mod timeout;

/// The version of the layout of every type here and of the maps that hold them. A pinned map of
/// another version is never adopted: change this whenever a key or a value changes its meaning.
pub const LAYOUT_VERSION: u32 = 3;
