//! Elements of the maps of either family, in the words of the standard library.

use crate::compile::{Family, Frontend};
use std::net::{IpAddr, SocketAddr};
use svc_lb_common::{
    address::{Address, Be16, Ipv4},
    backend, frontend,
};

/// The flag of a backend that is in use, the same in both families.
pub const LIVE: u16 = backend::Backend::<Ipv4>::LIVE;
/// The flag of one in the list for the policy `Cluster`.
pub const IN_CLUSTER: u16 = backend::Backend::<Ipv4>::IN_CLUSTER;
/// The flag of one in the list for the policy `Local`.
pub const IN_LOCAL: u16 = backend::Backend::<Ipv4>::IN_LOCAL;

/// A backend of either family, as a map holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where it is.
    pub endpoint: SocketAddr,
    /// Bits of [`backend::Backend`]'s constants.
    pub flags: u16,
    /// The service id it belongs to.
    pub service: u32,
    /// How often the index has changed hands.
    pub generation: u32,
}

impl<A: Address> From<&backend::Backend<A>> for Backend {
    fn from(backend: &backend::Backend<A>) -> Self {
        Self {
            endpoint: SocketAddr::new(backend.address.to_ip(), backend.port.get()),
            flags: backend.flags,
            service: backend.service,
            generation: backend.generation,
        }
    }
}

impl Backend {
    /// Whether it is in use.
    pub fn is_live(&self) -> bool {
        self.has(LIVE)
    }

    /// Whether a bit is set.
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// As the map of a family holds it; `None` if it is of the other one.
    pub fn to_map<A: Address>(self) -> Option<backend::Backend<A>> {
        Some(backend::Backend {
            address: A::from_ip(self.endpoint.ip())?,
            port: Be16::new(self.endpoint.port()),
            flags: self.flags,
            service: self.service,
            generation: self.generation,
        })
    }
}

/// The key of a frontend of either family. Port 0 with protocol 0 is the entry of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrontendKey {
    /// The address a client sends to.
    pub address: IpAddr,
    /// The port a client sends to.
    pub port: u16,
    /// The IP protocol number.
    pub protocol: u16,
}

impl FrontendKey {
    /// The key of the entry of an address.
    pub fn of_address(address: IpAddr) -> Self {
        Self { address, port: 0, protocol: 0 }
    }

    /// Whether it is the entry of an address.
    pub fn is_address(&self) -> bool {
        self.protocol == 0
    }

    /// Which map it is in.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }
}

impl From<&Frontend> for FrontendKey {
    fn from(frontend: &Frontend) -> Self {
        Self { address: frontend.address, port: frontend.port, protocol: frontend.protocol as u16 }
    }
}

impl<A: Address> From<&frontend::FrontendKey<A>> for FrontendKey {
    fn from(key: &frontend::FrontendKey<A>) -> Self {
        Self { address: key.address.to_ip(), port: key.port.get(), protocol: key.protocol }
    }
}

impl FrontendKey {
    /// As the map of a family holds it; `None` if it is of the other one.
    pub fn to_map<A: Address>(self) -> Option<frontend::FrontendKey<A>> {
        let address = A::from_ip(self.address)?;
        Some(frontend::FrontendKey { address, port: Be16::new(self.port), protocol: self.protocol })
    }
}
