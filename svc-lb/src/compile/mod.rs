//! Cluster + node → the tables that the programs want. Pure: no I/O, no clock, no order of arrival.

mod choice;
mod claims;
mod health_check;
mod node_addresses;
mod reach;
mod services;
mod source_ranges;
mod tables;
#[cfg(test)]
mod tests;

pub use health_check::HealthCheck;
pub use node_addresses::{NodeAddresses, node_addresses};
pub use reach::reach;
pub use services::{Compiled, Options, compile};
pub use svc_lb_common::selection::Algorithm;
pub use tables::{
    Family, Frontend, FrontendKind, Lists, Ownership, Protocol, Service, ServicePort, Tables, Target,
    TrafficPolicy, Weighted,
};
