//! Somebody else's program at a cgroup: it sees every connect by IPv4, changes nothing, and has its word.

use crate::{bpf, cgroup::Cgroup};
use anyhow::{Context, Result};
use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
};

const BPF_CGROUP_INET4_CONNECT: u32 = 10;

/// What it says to a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Verdict {
    /// The connect fails with EPERM.
    Deny = 0,
    /// It goes on.
    Allow = 1,
}

/// The attached program; detached on drop.
#[derive(Debug)]
pub struct ForeignConnect {
    _link: OwnedFd,
}

impl ForeignConnect {
    /// Attaches it to a cgroup.
    pub fn attach(cgroup: &Cgroup, verdict: Verdict) -> Result<Self> {
        // `r0 = VERDICT; exit`.
        let instructions = [(verdict as u64) << 32 | 0xb7, 0x95];
        let directory = File::open(cgroup.path())?;
        let attach = || -> io::Result<OwnedFd> {
            let program =
                bpf::load_for(bpf::BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, &instructions)?;
            bpf::link(&program, directory.as_raw_fd().cast_unsigned(), BPF_CGROUP_INET4_CONNECT, 0)
        };
        let link = attach().with_context(|| format!("cannot attach to {}", cgroup.path().display()))?;
        Ok(Self { _link: link })
    }
}
