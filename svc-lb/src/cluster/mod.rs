//! The objects joined: services with their addresses and endpoints.
//!
//! - [`join`]: everything below in one step
//! - [`Cluster`]: the model, which is what `compile` reads
//! - [`Allocations`]: the addresses and node ports that svc-lb gave, to be kept over restarts
//!
//! Pure: no I/O, no clock, no order of arrival.

mod allocate;
mod endpoints;
mod join;
mod model;
mod pods;
mod ranges;
mod request;
#[cfg(test)]
mod tests;

pub use allocate::Allocations;
pub use join::{Joined, join};
pub use model::{Cluster, Endpoint, Node, Port, Service};
pub use ranges::Ranges;
