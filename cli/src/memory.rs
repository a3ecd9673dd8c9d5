//! The allocator, told how this program uses memory.

/// Keeps glibc from giving each of the runtime's many short-lived threads a heap of its own.
///
/// Buffers of a megabyte are made on one thread and freed on another; with a heap a thread a
/// compaction's peak memory grows by half, for nothing. `cores` heaps leave nobody waiting.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn few_heaps(cores: usize) {
    let heaps = libc::c_int::try_from(cores.clamp(2, 32)).unwrap_or(2);
    // SAFETY: mallopt only sets a number of the C library; it is called before other threads exist.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, heaps);
    }
}

/// Other allocators need no advice.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn few_heaps(_: usize) {}
