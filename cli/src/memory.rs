//! Memory: how much there is for jobs, and an allocator that is told how this program uses it.

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

/// Bytes that jobs may take unless it is said otherwise: four fifths of what the machine has, or of what its control
/// group may use. `None` where nobody tells.
pub(crate) fn budget() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = limits.into_iter().filter_map(read).filter_map(|text| text.trim().parse().ok());
    let machine = read("/proc/meminfo").and_then(|text| total(&text));
    limits.chain(machine).min().map(|bytes: u64| bytes / 5 * 4)
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_has() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       24556780 kB\n"), Some(24_556_780 * 1024));
        assert_eq!(total("MemTotal: much\n"), None);
        assert!(!cfg!(target_os = "linux") || budget().is_some_and(|bytes| bytes > 0));
    }
}
