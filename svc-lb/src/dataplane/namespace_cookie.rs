//! The number by which programs know a network namespace.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd,
    ptr,
};

/// The cookie of the network namespace that the caller is in: `SO_NETNS_COOKIE`, Linux 5.14.
pub fn namespace_cookie() -> io::Result<u64> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which `cookie` has.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            ptr::from_mut(&mut cookie).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(cookie) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use std::thread;

    #[test]
    fn every_namespace_has_its_own() {
        let here = || namespace_cookie().unwrap();
        let elsewhere = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("run this as root");
            here()
        });
        assert_eq!(here(), here());
        assert_ne!(elsewhere.join().unwrap(), here());
    }
}
