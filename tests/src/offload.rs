//! Checksum offload of an interface (`ethtool -K DEV tx on|off`).

use crate::namespace::Namespace;
use anyhow::{Context, Result};
use std::{io, net::UdpSocket, os::fd::AsRawFd};

/// Sets TX checksumming (linux/ethtool.h).
const ETHTOOL_STXCSUM: u32 = 0x17;

/// `struct ethtool_value` (linux/ethtool.h).
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Makes the kernel finish every checksum, and every segment, before it hands a packet to the
/// interface. Between veths nobody does so otherwise: the receiver trusts what it never checked, and a
/// packet whose checksum was translated wrongly would go unnoticed.
pub fn finish_checksums(namespace: &Namespace, interface: &str) -> Result<()> {
    let set = || -> io::Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        ethtool(&socket, interface, &mut EthtoolValue { command: ETHTOOL_STXCSUM, data: 0 })
    };
    namespace
        .enter(set)
        .with_context(|| format!("{}: cannot turn the checksum offload of {interface} off", namespace.name()))
}

fn ethtool(socket: &UdpSocket, interface: &str, value: &mut EthtoolValue) -> io::Result<()> {
    // SAFETY: `ifreq` is a C struct of integers, characters and pointers, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (character, byte) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *character = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(value).cast();
    // SAFETY: `request` names the interface, ends in zero and points to a value of the layout that
    // SIOCETHTOOL reads for this command; both outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
