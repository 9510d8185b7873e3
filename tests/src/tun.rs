//! A tun device: an interface without a link-layer header, whose other end is the test itself.

use crate::{namespace::Namespace, wait::SOON};
use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, AsRawFd},
    time::Instant,
};

/// `_IOW('T', 202, int)` of linux/if_tun.h.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;

/// The other end of a tun device. The device goes when this does.
#[derive(Debug)]
pub struct Tun {
    file: File,
}

impl Tun {
    /// A new device in a namespace, down and without addresses.
    pub fn new(namespace: &Namespace, name: &str) -> Result<Self> {
        namespace.enter(|| open(name)).with_context(|| format!("tun device {name}"))
    }

    /// Sends a packet, which begins with its IP header, into the namespace.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        Ok((&self.file).write_all(packet)?)
    }

    /// The next packet out of the namespace that `wanted` gives something for.
    pub fn find<T>(&self, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + SOON;
        let mut packet = vec![0; 70_000];
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let mut ready = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::try_from(left)?)? == 0 {
                break;
            }
            let length = (&self.file).read(&mut packet)?;
            if let Some(found) = wanted(&packet[..length]) {
                return Ok(found);
            }
        }
        bail!("no such packet within {SOON:?}")
    }
}

fn open(name: &str) -> io::Result<Tun> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: `ifreq` is a C struct of integers, characters and pointers, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (character, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *character = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: `request` names the interface, ends in zero, and outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
    if result == 0 { Ok(Tun { file }) } else { Err(io::Error::last_os_error()) }
}
