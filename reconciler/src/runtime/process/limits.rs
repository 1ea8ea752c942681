//! Limits of a child, which it sets itself before it opens the library.

use nix::sys::resource::{Resource, setrlimit};

/// Sets the child's own limits.
///
/// Memory is what can be written and is private (`RLIMIT_DATA`): address space alone would count what an allocator
/// only reserves.
pub(crate) fn limit_self(memory_mb: Option<u64>, cpu_seconds: Option<u64>) -> nix::Result<()> {
    // A crash is reported in words; an image of the memory would fill the disk.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    if let Some(megabytes) = memory_mb {
        let bytes = megabytes.saturating_mul(1 << 20);
        setrlimit(Resource::RLIMIT_DATA, bytes, bytes)?;
    }
    if let Some(seconds) = cpu_seconds {
        setrlimit(Resource::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    }
    Ok(())
}
