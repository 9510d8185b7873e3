//! Interfaces, addresses, routes and sysctls of the machine.

mod facts;
mod kernel;
mod roles;
mod watcher;

pub use facts::{Facts, Interface, Role};
pub use roles::{DEFAULT_POD_INTERFACES, Roles};
pub use watcher::{NodeError, Watcher};
