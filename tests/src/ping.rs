//! ICMP echo.

use crate::namespace::Namespace;
use anyhow::{Context, Result};
use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::Read,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Pings an address, and fails if the answer does not come within two seconds.
pub fn ping(namespace: &Namespace, target: IpAddr) -> Result<()> {
    let exchange = || -> Result<()> {
        let target = SocketAddr::new(target, 0);
        let protocol = if target.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        let mut socket = Socket::new(Domain::for_address(target), Type::DGRAM, Some(protocol))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.connect(&target.into())?;
        // The kernel puts its own identifier and checksum in, and gives back only what answers them.
        let echo = IcmpEchoHeader { id: 0, seq: 1 };
        let request = if target.is_ipv4() {
            Icmpv4Header::new(Icmpv4Type::EchoRequest(echo)).to_bytes().to_vec()
        } else {
            Icmpv6Header::new(Icmpv6Type::EchoRequest(echo)).to_bytes().to_vec()
        };
        socket.send(&request)?;
        socket.read_exact(&mut vec![0; request.len()])?;
        Ok(())
    };
    namespace.set_sysctl("ipv4/ping_group_range", "0 0")?;
    namespace.enter(exchange).with_context(|| format!("{} pings {target} in vain", namespace.name()))
}
