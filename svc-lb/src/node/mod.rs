//! Interfaces, addresses, routes and sysctls of the machine.

mod backends;
mod cgroup;
mod facts;
mod kernel;
mod neighbours;
mod news;
mod ports;
mod ranges;
mod reach;
mod roles;
mod routes;
mod sockets;
mod subscription;
mod sysctls;
mod watcher;

pub use backends::Backends;
pub use cgroup::{CgroupError, check_cgroup, root_cgroup};
pub use facts::{Facts, Interface, LinkLayer, Machine, PastNetfilter, Role};
pub use neighbours::{Keeper, Neighbour, remove as remove_neighbours, wanted as wanted_neighbours};
pub use ports::{PortError, PortSet, check_ranges};
pub use ranges::range_conflict;
pub use reach::{NodePortPlaces, Reach};
pub use roles::{DEFAULT_POD_INTERFACES, Roles};
pub use routes::{Hop, Route, Routes};
pub use sockets::Closer;
pub use sysctls::{Sysctls, restore as restore_sysctls};
pub use watcher::{Change, NodeError, Watcher};
