//! What the agent does not need any more, the machine may have.

/// From how many bytes on a buffer goes back to the kernel as soon as it is free, such as that of a file.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 1 << 20;

/// Has large buffers given back. Without being told, the C library keeps for the next one what the first took.
pub fn keep_no_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers, and any thread may call it at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Gives memory that is free back to the kernel: the C library keeps what reading many manifests, or loading the
/// programs, took for a while, more than all that stays.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no address, and any thread may call it at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
