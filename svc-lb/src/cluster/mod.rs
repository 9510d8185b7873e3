//! The objects joined: services with their addresses and endpoints.
//!
//! - [`join`]: everything below in one step
//! - [`Cluster`]: the model, which is what `compile` reads
//! - [`Allocations`]: the addresses and node ports that svc-lb gave, to be kept over restarts
//!
//! Pure: no I/O, no clock, no order of arrival.

mod allocate;
mod concern;
mod endpoints;
mod external_addresses;
mod join;
mod model;
mod pods;
mod policies;
mod ranges;
mod request;
mod source_ranges;
#[cfg(test)]
mod tests;
mod weights;

pub use allocate::Allocations;
pub use concern::{Concerned, concerned, selecting};
pub use join::{Changed, Joined, join};
pub use model::{
    Cluster, Endpoint, Listed, Node, Port, Service, SourceRanges, TrafficPolicy, Unserved, UnservedKind,
};
pub use ranges::Ranges;
