//! Interfaces, addresses, routes and sysctls of the machine.

mod facts;
mod kernel;
mod ports;
mod ranges;
mod roles;
mod sysctls;
mod watcher;

pub use facts::{Facts, Interface, Role};
pub use ports::{PortError, PortSet, check_ranges};
pub use ranges::range_conflict;
pub use roles::{DEFAULT_POD_INTERFACES, Roles};
pub use sysctls::{Sysctls, restore as restore_sysctls};
pub use watcher::{NodeError, Watcher};
