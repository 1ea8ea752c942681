//! What a package's process may take.
//!
//! Limits of the process are set by the child itself before it opens the library. Where the host may write below
//! its control group (cgroup v2), a group of the child's own holds memory and processor time together.

use super::Orders;
use nix::sys::resource::{Resource, setrlimit};
use std::fs;
use std::path::{Path, PathBuf};

/// Sets the child's own limits.
///
/// Memory is what can be written and is private (`RLIMIT_DATA`): address space alone would count what an allocator
/// only reserves.
pub(crate) fn limit_self(orders: &Orders) -> nix::Result<()> {
    // A crash is reported in words; an image of the memory would fill the disk.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    if let Some(megabytes) = orders.memory_mb {
        let bytes = megabytes.saturating_mul(1 << 20);
        setrlimit(Resource::RLIMIT_DATA, bytes, bytes)?;
    }
    if let Some(seconds) = orders.cpu_seconds {
        setrlimit(Resource::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    }
    Ok(())
}

/// A control group of one child, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes a group and puts a process into it. None where that is not possible: the limits of the process stand.
    pub(crate) fn of(pid: u32, name: &str, memory_mb: Option<u64>, cpu_percent: Option<u32>) -> Option<Self> {
        if memory_mb.is_none() && cpu_percent.is_none() {
            return None;
        }
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let below = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let group = Self(Path::new("/sys/fs/cgroup").join(below).join(format!("longshore-{name}-{pid}")));
        match group.fill(pid, memory_mb, cpu_percent) {
            Ok(()) => Some(group),
            Err(error) => {
                tracing::debug!(%error, group = %group.0.display(), "no control group for a package");
                None
            }
        }
    }

    fn fill(&self, pid: u32, memory_mb: Option<u64>, cpu_percent: Option<u32>) -> std::io::Result<()> {
        fs::create_dir(&self.0)?;
        if let Some(megabytes) = memory_mb {
            fs::write(self.0.join("memory.max"), (megabytes << 20).to_string())?;
        }
        if let Some(percent) = cpu_percent {
            fs::write(self.0.join("cpu.max"), format!("{} 100000", u64::from(percent) * 1000))?;
        }
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty once its process was waited for; what is left over costs nothing.
        let _ = fs::remove_dir(&self.0);
    }
}
