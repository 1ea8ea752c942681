//! Limits of a package's process.
//!
//! Limits of the process are set by the child itself before it opens the library. Where the host may write below
//! its control group (cgroup v2), a group of the child's own holds memory and processor time together.

use crate::runtime::process::spec::ChildSpec;
use nix::sys::resource::{Resource, setrlimit};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Sets the child's own limits.
///
/// Memory is what can be written and is private (`RLIMIT_DATA`): address space alone would count what an allocator
/// only reserves.
pub(crate) fn limit_self(spec: &ChildSpec) -> nix::Result<()> {
    // A crash is reported in words; an image of the memory would fill the disk.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    if let Some(megabytes) = spec.memory_mb {
        let bytes = megabytes.saturating_mul(1 << 20);
        setrlimit(Resource::RLIMIT_DATA, bytes, bytes)?;
    }
    if let Some(seconds) = spec.cpu_seconds {
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
        let group = Self::below_own(pid, name).and_then(|group| {
            // What was made is removed when it cannot be filled.
            group.fill(pid, memory_mb, cpu_percent).map(|()| group)
        });
        match group {
            Ok(group) => Some(group),
            Err(error) if cpu_percent.is_some() => {
                tracing::warn!(%error, package = name, "no control group here: `cpu_percent` does not hold");
                None
            }
            Err(_) => None,
        }
    }

    fn below_own(pid: u32, name: &str) -> std::io::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let below = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let parent = Path::new("/sys/fs/cgroup").join(below);
        // Only a real group has these: elsewhere its files would be files.
        fs::metadata(parent.join("cgroup.controllers"))?;
        let group = Self(parent.join(format!("longshore-{name}-{pid}")));
        fs::create_dir(&group.0)?;
        Ok(group)
    }

    fn fill(&self, pid: u32, memory_mb: Option<u64>, cpu_percent: Option<u32>) -> std::io::Result<()> {
        if let Some(megabytes) = memory_mb {
            self.set("memory.max", (megabytes << 20).to_string())?;
        }
        if let Some(percent) = cpu_percent {
            self.set("cpu.max", format!("{} 100000", u64::from(percent) * 1000))?;
        }
        self.set("cgroup.procs", pid.to_string())
    }

    fn set(&self, file: &str, value: String) -> std::io::Result<()> {
        fs::OpenOptions::new().write(true).open(self.0.join(file))?.write_all(value.as_bytes())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty once its process was waited for; what is left over costs nothing.
        let _ = fs::remove_dir(&self.0);
    }
}
