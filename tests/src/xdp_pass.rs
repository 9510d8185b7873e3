//! An XDP program that passes everything.
//!
//! What an XDP program transmits out of a veth is received only if the other end runs an XDP program
//! too; else it is lost in silence. This is the one for the other end, and the one of somebody else
//! where that is in the way.

use crate::{bpf, namespace::Namespace};
use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use std::{io, os::fd::OwnedFd};

const BPF_XDP: u32 = 37;
/// Native mode: in the driver.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
/// The program bears packets in several pieces, so that the device's MTU is not limited.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// `return XDP_PASS`: `r0 = 2; exit`.
const INSTRUCTIONS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];

/// The attached program; detached on drop.
#[derive(Debug)]
pub struct XdpPass {
    _link: OwnedFd,
}

impl XdpPass {
    /// Attaches it to an interface, in native mode.
    pub fn attach(namespace: &Namespace, interface: &str) -> Result<Self> {
        let attach = || -> io::Result<OwnedFd> {
            let program = bpf::load(bpf::BPF_PROG_TYPE_XDP, &INSTRUCTIONS, BPF_F_XDP_HAS_FRAGS)?;
            bpf::link(&program, if_nametoindex(interface)?, BPF_XDP, XDP_FLAGS_DRV_MODE)
        };
        let link = namespace
            .enter(attach)
            .with_context(|| format!("{}: cannot attach XDP to {interface}", namespace.name()))?;
        Ok(Self { _link: link })
    }
}
