//! `bpf(2)`, as far as aya lacks it: the elements of a map by bytes, pins opened for reading only, the
//! interface of a link; and how to wait for programs to end.
//!
//! A [`RawMap`] knows the sizes that the kernel reads and writes, and compares every buffer with
//! them first: that makes its methods safe to call.

use aya_obj::generated::{bpf_attach_type::BPF_TRACE_ITER, bpf_cmd};
use bytemuck::{Pod, Zeroable};
use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

/// `BPF_F_RDONLY`: the file descriptor reads elements only.
const READ_ONLY: u32 = 1 << 3;

/// The command of `membarrier(2)` that waits for a grace period of RCU (`synchronize_rcu` in
/// `kernel/sched/membarrier.c`): programs run inside of one.
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// What an open map may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its elements are read.
    Read,
    /// Its elements are read, written and deleted.
    Write,
}

/// The first fields of `struct bpf_map_info`: what makes a map what it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct MapInfo {
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Unique among the loaded maps.
    pub id: u32,
    /// In bytes.
    pub key_size: u32,
    /// In bytes, of one processor's value.
    pub value_size: u32,
    /// The most elements it can hold.
    pub max_entries: u32,
    /// The `BPF_F_*` that it was made with.
    pub flags: u32,
}

/// The first fields of `struct bpf_link_info` of a cgroup link.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CgroupLinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    cgroup: u64,
}

/// The attributes of `BPF_LINK_UPDATE`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// The attributes of `BPF_LINK_CREATE` for an iterator.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct IteratorLink {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    /// The address of a `union bpf_iter_link_info`: over a map, the map's file descriptor.
    info: u64,
    info_length: u32,
    padding: u32,
}

/// The attributes of `BPF_ITER_CREATE`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct IteratorStart {
    link: u32,
    flags: u32,
}

/// The first fields of `struct bpf_link_info` of a tcx or XDP link.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    interface: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct PathAttributes {
    path: u64,
    descriptor: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct InfoAttributes {
    descriptor: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ElementAttributes {
    map: u32,
    padding: u32,
    key: u64,
    /// Or the next key.
    value: u64,
    flags: u64,
}

/// Calls `bpf(2)`.
///
/// # Safety
///
/// Every address in the attributes is 0 or that of a buffer, exposed, as long as what the kernel
/// reads or writes there for this command.
pub(super) unsafe fn bpf<T: Pod>(command: bpf_cmd, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes are as long as stated; what they point to is the caller's promise.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, &raw mut *attributes, size_of::<T>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// The address of bytes that the kernel reads.
pub(super) fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr().expose_provenance() as u64
}

/// The address of bytes that the kernel writes.
pub(super) fn address_mut(bytes: &mut [u8]) -> u64 {
    bytes.as_mut_ptr().expose_provenance() as u64
}

/// Opens a pinned object.
fn open(path: &Path, flags: u32) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = PathAttributes { path: address(path.as_bytes_with_nul()), descriptor: 0, flags };
    // SAFETY: the path ends with a zero byte and lives until the call returns.
    let descriptor = unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut attributes)? };
    // SAFETY: the kernel has just opened this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// What the kernel says of an object, as far as `T` goes.
fn info<T: Pod>(object: &OwnedFd) -> io::Result<T> {
    let mut info = T::zeroed();
    let mut attributes = InfoAttributes {
        descriptor: object.as_raw_fd().cast_unsigned(),
        length: size_of::<T>() as u32,
        info: address_mut(bytemuck::bytes_of_mut(&mut info)),
    };
    // SAFETY: the kernel writes at most `length` bytes, which `info` has.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes)? };
    Ok(info)
}

/// The ifindex of the interface that a pinned tcx or XDP link is attached to; 0 once it is gone.
pub fn interface_of_link(path: &Path) -> io::Result<u32> {
    info::<LinkInfo>(&open(path, 0)?).map(|info| info.interface)
}

/// The number of the cgroup that a pinned link is attached to; 0 once it is gone.
pub fn cgroup_of_link(path: &Path) -> io::Result<u64> {
    info::<CgroupLinkInfo>(&open(path, 0)?).map(|info| info.cgroup)
}

/// Puts another program into a pinned link, which must be of the same attach type.
pub fn replace_program(path: &Path, program: BorrowedFd<'_>) -> io::Result<()> {
    let link = open(path, 0)?;
    let mut attributes = LinkUpdate {
        link: link.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        flags: 0,
        old_program: 0,
    };
    // SAFETY: the command takes no address.
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attributes) }.map(drop)
}

/// Starts an iterator by its link: the program is called for each element while the file is read, and what
/// it writes is what is read.
pub fn iterate(link: &OwnedFd) -> io::Result<File> {
    let mut attributes = IteratorStart { link: link.as_raw_fd().cast_unsigned(), flags: 0 };
    // SAFETY: the command takes no address.
    let descriptor = unsafe { bpf(bpf_cmd::BPF_ITER_CREATE, &mut attributes)? };
    // SAFETY: the kernel has just opened this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }.into())
}

/// Detaches a pinned link at once; removing its pin alone would do so some time later.
pub fn detach_link(path: &Path) -> io::Result<()> {
    let link = open(path, 0)?;
    let mut descriptor = link.as_raw_fd();
    // SAFETY: the descriptor is all that this command takes.
    unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut descriptor) }.map(drop)
}

/// Waits until every BPF program that runs now, on any processor, has ended.
pub fn wait_for_programs() {
    // SAFETY: the command takes no address.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result < 0 {
        // A kernel with processors that never tick does not offer it. No program runs as long as this.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the kernel says of a pinned map.
pub fn pinned_map_info(path: &Path) -> io::Result<MapInfo> {
    info(&open(path, 0)?)
}

/// An open map, its elements as bytes.
#[derive(Debug)]
pub struct RawMap {
    descriptor: OwnedFd,
    info: MapInfo,
    /// The length of a value as the kernel copies it.
    value_length: usize,
}

impl RawMap {
    /// Opens a pinned map. `processors`: how many values an element has, where the map is per CPU.
    pub fn open(path: &Path, access: Access, processors: Option<usize>) -> io::Result<Self> {
        let descriptor = open(path, if access == Access::Read { READ_ONLY } else { 0 })?;
        let info: MapInfo = info(&descriptor)?;
        let value = info.value_size as usize;
        let value_length = processors.map_or(value, |processors| value.next_multiple_of(8) * processors);
        Ok(Self { descriptor, info, value_length })
    }

    /// What the kernel says of the map.
    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// The length of a key.
    pub(super) fn key_length(&self) -> usize {
        self.info.key_size as usize
    }

    /// The length of a value; of a per-CPU map: of all processors' values.
    pub(super) fn value_length(&self) -> usize {
        self.value_length
    }

    /// The file descriptor as `union bpf_attr` wants it.
    pub(super) fn descriptor(&self) -> u32 {
        self.descriptor.as_raw_fd().cast_unsigned()
    }

    /// Reads an element; whether there is one.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        expect(key, self.key_length())?;
        expect(value, self.value_length())?;
        let mut attributes = self.element(address(key), address_mut(value));
        // SAFETY: key and value are as long as the map's.
        found(unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attributes) })
    }

    /// Writes an element, whether there is one already or not.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        expect(key, self.key_length())?;
        expect(value, self.value_length())?;
        let mut attributes = self.element(address(key), address(value));
        // SAFETY: key and value are as long as the map's.
        unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attributes) }.map(drop)
    }

    /// Deletes an element; whether there was one.
    pub fn delete(&self, key: &[u8]) -> io::Result<bool> {
        expect(key, self.key_length())?;
        let mut attributes = self.element(address(key), 0);
        // SAFETY: the key is as long as the map's.
        found(unsafe { bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attributes) })
    }

    /// Reads the key behind a key, or the first one; whether there is one.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
        key.map_or(Ok(()), |key| expect(key, self.key_length()))?;
        expect(next, self.key_length())?;
        let mut attributes = self.element(key.map_or(0, address), address_mut(next));
        // SAFETY: both keys are as long as the map's; a missing one is 0.
        found(unsafe { bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attributes) })
    }

    /// Links a program to the map, an iterator over its elements. It stays so until the link is closed.
    pub fn link_iterator(&self, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let map = self.descriptor().to_ne_bytes();
        let mut attributes = IteratorLink {
            program: program.as_raw_fd().cast_unsigned(),
            target: 0,
            attach_type: BPF_TRACE_ITER as u32,
            flags: 0,
            info: address(&map),
            info_length: size_of_val(&map) as u32,
            padding: 0,
        };
        // SAFETY: the kernel reads `info_length` bytes, which `map` has.
        let descriptor = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attributes)? };
        // SAFETY: the kernel has just opened this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    fn element(&self, key: u64, value: u64) -> ElementAttributes {
        ElementAttributes { map: self.descriptor(), padding: 0, key, value, flags: 0 }
    }
}

/// Refuses bytes of another length than the kernel reads or writes.
pub(super) fn expect(bytes: &[u8], length: usize) -> io::Result<()> {
    if bytes.len() == length {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{} bytes where the map has {length}", bytes.len()),
    ))
}

/// Turns "no such element" into `false`.
fn found(result: io::Result<i32>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
