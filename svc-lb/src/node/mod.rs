//! Interfaces, addresses, routes and sysctls of the machine.

mod facts;

pub use facts::{Facts, Interface, Role};

/// The default of `--pod-interface`: how widespread CNI plugins name the host side of a pod's interface.
pub const DEFAULT_POD_INTERFACES: [&str; 6] = ["veth*", "cali*", "lxc*", "eni*", "azv*", "gke*"];
