//! Interfaces, addresses, routes and sysctls of the machine.

mod facts;

pub use facts::{Facts, Interface, Role};
