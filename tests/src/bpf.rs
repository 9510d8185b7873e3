//! The system call bpf(2), for programs of a few instructions that stand for those of somebody else.
//!
//! The numbers and layouts are those of linux/bpf.h.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;
const BPF_LINK_CREATE: libc::c_long = 28;

/// A classifier, for tc.
pub(crate) const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
/// A program for XDP.
pub(crate) const BPF_PROG_TYPE_XDP: u32 = 6;
/// A program for the addresses of sockets, at a cgroup.
pub(crate) const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const BPF_MAP_TYPE_QUEUE: u32 = 22;

/// The head of `union bpf_attr` for BPF_PROG_LOAD.
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
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The head of `union bpf_attr` for BPF_LINK_CREATE.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// The head of `union bpf_attr` for BPF_MAP_CREATE.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

/// The head of `union bpf_attr` for the commands about an element of a map.
#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Loads a program. `flags`: those of BPF_PROG_LOAD.
pub(crate) fn load(program_type: u32, instructions: &[u64], flags: u32) -> io::Result<OwnedFd> {
    load_by(&Load { program_type, flags, ..Load::default() }, instructions)
}

/// Loads a program of a type that must know what it is going to be attached to.
pub(crate) fn load_for(program_type: u32, attach_type: u32, instructions: &[u64]) -> io::Result<OwnedFd> {
    load_by(&Load { program_type, attach_type, ..Load::default() }, instructions)
}

fn load_by(request: &Load, instructions: &[u64]) -> io::Result<OwnedFd> {
    let request = Load {
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        ..*request
    };
    Ok(descriptor(bpf(BPF_PROG_LOAD, &request)?))
}

/// Attaches a program to an interface or, by its descriptor, to a cgroup, until the link is closed.
pub(crate) fn link(program: &OwnedFd, target: u32, attach_type: u32, flags: u32) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd().cast_unsigned();
    Ok(descriptor(bpf(BPF_LINK_CREATE, &LinkCreate { program, target, attach_type, flags })?))
}

/// A queue of values of so many bytes (`BPF_MAP_TYPE_QUEUE`).
#[derive(Debug)]
pub(crate) struct Queue<const BYTES: usize> {
    map: OwnedFd,
}

impl<const BYTES: usize> Queue<BYTES> {
    /// An empty one with room for so many.
    pub(crate) fn new(length: u32) -> io::Result<Self> {
        let value_size = BYTES as u32;
        let request =
            MapCreate { map_type: BPF_MAP_TYPE_QUEUE, key_size: 0, value_size, max_entries: length };
        Ok(Self { map: descriptor(bpf(BPF_MAP_CREATE, &request)?) })
    }

    /// The map's descriptor, for the instructions of a program.
    pub(crate) fn descriptor(&self) -> u32 {
        self.map.as_raw_fd().cast_unsigned()
    }

    /// Takes the oldest value out.
    pub(crate) fn pop(&self) -> io::Result<Option<[u8; BYTES]>> {
        let mut value = [0; BYTES];
        let pointer = value.as_mut_ptr() as u64;
        let request = Element { map: self.descriptor(), padding: 0, key: 0, value: pointer, flags: 0 };
        match bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &request) {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The system call, for a command that reads no more than `request`.
fn bpf<T>(command: libc::c_long, request: &T) -> io::Result<i32> {
    // SAFETY: the request is the head of what the command reads, its size is given, and all that it
    // points to outlives the call and is as long as the kernel was told.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(request), size_of::<T>()) };
    i32::try_from(result).ok().filter(|&result| result >= 0).ok_or_else(io::Error::last_os_error)
}

/// What a command gave that makes a descriptor.
fn descriptor(result: i32) -> OwnedFd {
    // SAFETY: the command just made this descriptor, and nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(result) }
}
