//! An XDP program that passes everything.
//!
//! What an XDP program transmits out of a veth is received only if the other end runs an XDP program
//! too; else it is lost in silence. This is the one for the other end, by two raw system calls.

use crate::namespace::Namespace;
use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// Native mode: in the driver.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
/// The program bears packets in several pieces, so that the device's MTU is not limited.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// `return XDP_PASS`: `r0 = 2; exit`.
const INSTRUCTIONS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];

/// The head of `union bpf_attr` for BPF_PROG_LOAD (linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The head of `union bpf_attr` for BPF_LINK_CREATE (linux/bpf.h).
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// The attached program; detached on drop.
#[derive(Debug)]
pub struct XdpPass {
    _link: OwnedFd,
}

impl XdpPass {
    /// Attaches it to an interface, in native mode.
    pub fn attach(namespace: &Namespace, interface: &str) -> Result<Self> {
        let attach = || -> io::Result<OwnedFd> {
            let program = load()?;
            let request = LinkCreate {
                program: program.as_raw_fd().cast_unsigned(),
                interface: if_nametoindex(interface)?,
                attach_type: BPF_XDP,
                flags: XDP_FLAGS_DRV_MODE,
            };
            bpf(BPF_LINK_CREATE, &request)
        };
        let link = namespace
            .enter(attach)
            .with_context(|| format!("{}: cannot attach XDP to {interface}", namespace.name()))?;
        Ok(Self { _link: link })
    }
}

fn load() -> io::Result<OwnedFd> {
    let request = Load {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: INSTRUCTIONS.len() as u32,
        instructions: INSTRUCTIONS.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        flags: BPF_F_XDP_HAS_FRAGS,
        ..Load::default()
    };
    bpf(BPF_PROG_LOAD, &request)
}

/// The system call bpf(2) for a command whose result is a descriptor.
fn bpf<T>(command: libc::c_long, request: &T) -> io::Result<OwnedFd> {
    // SAFETY: the request is the head of what the command reads, its size is given, and all that it
    // points to is static.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(request), size_of::<T>()) };
    match i32::try_from(result) {
        // SAFETY: a result that is not negative is a new descriptor that nobody else owns.
        Ok(file) if file >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(file) }),
        _ => Err(io::Error::last_os_error()),
    }
}
