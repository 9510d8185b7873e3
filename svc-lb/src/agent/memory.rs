//! What the agent does not need any more, the machine may have.

/// Gives memory that is free back to the kernel: the C library keeps what reading many manifests, or loading the
/// programs, took for a while, more than all that stays.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no address, and any thread may call it at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
