//! Control groups (cgroup v2): a group of its own holds a child, and whatever it starts, to its memory and processor time.
//!
//! A group that holds processes cannot give controllers to groups below it. So the host goes into a group of its own
//! first, `longshore-host`, beside those of its children; for that the group it was started in must be its alone, and
//! writable (systemd: `Delegate=yes`).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The group that a host moves itself into.
const HOST_GROUP: &str = "longshore-host";

/// The beginning of the names of children's groups.
const CHILD_GROUPS: &str = "longshore-child-";

/// The controllers that hold limits.
const CONTROLLERS: [&str; 2] = ["memory", "cpu"];

/// One thread changes groups at a time: what one has just made another one would remove as empty.
static CHANGING: Mutex<()> = Mutex::new(());

/// A control group of one child, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes a group and puts a process into it. None where that is not possible: the limits of the process stand.
    pub(crate) fn of(pid: u32, name: &str, memory_mb: Option<u64>, cpu_percent: Option<u32>) -> Option<Self> {
        if memory_mb.is_none() && cpu_percent.is_none() {
            return None;
        }
        let _changing = CHANGING.lock();
        let made = own_group().and_then(|own| {
            let group = Self::below(&parent_of_children(&own)?, name, pid)?;
            // What was made is removed when it cannot be filled.
            group.fill(pid, memory_mb, cpu_percent).map(|()| group)
        });
        made.inspect_err(|error| {
            if cpu_percent.is_some() {
                let advice = "start the host in a group of its own that it may write to (systemd: Delegate=yes)";
                tracing::warn!(%error, package = name, advice, "no control group here: `cpu_percent` does not hold");
            }
        })
        .ok()
    }

    fn below(parent: &Path, name: &str, pid: u32) -> io::Result<Self> {
        remove_empty(parent);
        let group = Self(parent.join(format!("{CHILD_GROUPS}{name}-{pid}")));
        fs::create_dir(&group.0)?;
        Ok(group)
    }

    fn fill(&self, pid: u32, memory_mb: Option<u64>, cpu_percent: Option<u32>) -> io::Result<()> {
        if let Some(megabytes) = memory_mb {
            set(&self.0, "memory.max", &(megabytes << 20).to_string())?;
            // Swap is not more memory, and one process without the others is of no use. Not every kernel has these.
            let _ = set(&self.0, "memory.swap.max", "0");
            let _ = set(&self.0, "memory.oom.group", "1");
        }
        if let Some(percent) = cpu_percent {
            set(&self.0, "cpu.max", &format!("{} 100000", u64::from(percent) * 1000))?;
        }
        set(&self.0, "cgroup.procs", &pid.to_string())
    }

    /// Kills every process in it.
    pub(crate) fn kill(&self) {
        // Since Linux 5.14; before, the child's first process kills the others.
        let _ = set(&self.0, "cgroup.kill", "1");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One whose processes are still ending is removed before the next one is made.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Writes to a file of a group. Elsewhere there is no such file, and none is made.
fn set(group: &Path, file: &str, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(group.join(file))?.write_all(value.as_bytes())
}

/// The control group of this process.
fn own_group() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    group_of(&mounts, &own).ok_or_else(|| io::Error::other("this system has no control groups of version 2"))
}

fn group_of(mounts: &str, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        if !kind.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = fields.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(place).join(below))
    })
}

/// The group below which children get theirs, with the controllers that are available. Moves this process out of it.
fn parent_of_children(own: &Path) -> io::Result<PathBuf> {
    let parent = match own.file_name() {
        Some(name) if name == HOST_GROUP => own.parent().unwrap_or(own).to_owned(),
        _ => own.to_owned(),
    };
    let available = fs::read_to_string(parent.join("cgroup.controllers"))?;
    let enabled = fs::read_to_string(parent.join("cgroup.subtree_control"))?;
    let has = |list: &str, name: &str| list.split_whitespace().any(|one| one == name);
    let missing: Vec<&str> =
        CONTROLLERS.into_iter().filter(|name| has(&available, name) && !has(&enabled, name)).collect();
    if missing.is_empty() {
        return Ok(parent);
    }
    // The root of all groups, which has no type, may hold processes.
    if parent == own && own.join("cgroup.type").exists() {
        move_into_leaf(own)?;
    }
    for controller in missing {
        set(&parent, "cgroup.subtree_control", &format!("+{controller}"))?;
    }
    Ok(parent)
}

fn move_into_leaf(own: &Path) -> io::Result<()> {
    let id = std::process::id().to_string();
    let inside = fs::read_to_string(own.join("cgroup.procs"))?;
    let others = inside.lines().filter(|line| *line != id).count();
    if others > 0 {
        let place = own.display();
        return Err(io::Error::other(format!("the group {place} has {others} other processes")));
    }
    let leaf = own.join(HOST_GROUP);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    set(&leaf, "cgroup.procs", &id)
}

/// Removes groups that children, or hosts that died, left behind. One that holds processes stays, and so does one whose
/// process is about to be put into it, by another host.
fn remove_empty(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(CHILD_GROUPS).and_then(|name| name.rsplit('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of this process alone, as the system shows one.
    fn group(folder: &Path, procs: &str, controllers: &str) {
        for (file, text) in [
            ("cgroup.procs", procs),
            ("cgroup.controllers", controllers),
            ("cgroup.subtree_control", ""),
            ("cgroup.type", "domain\n"),
        ] {
            fs::write(folder.join(file), text).expect("writes");
        }
    }

    #[test]
    fn the_own_group_is_found_below_the_mount_of_version_2() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      41 31 0:38 /outer /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let found = |own| group_of(mounts, own);
        let own = "4:memory:/other\n0::/outer/system.slice/longshore.service\n";
        let expected = "/sys/fs/cgroup/unified/system.slice/longshore.service";
        assert_eq!(found(own), Some(expected.into()));
        assert_eq!(found("0::/elsewhere\n"), None, "it is not below what is mounted");
        assert_eq!(found("4:memory:/other\n"), None);
    }

    #[test]
    fn a_host_goes_into_a_leaf_before_controllers_are_given_to_its_children() {
        let folder = tempfile::tempdir().expect("folder");
        let own = folder.path();
        group(own, &format!("{}\n", std::process::id()), "memory pids cpu\n");
        fs::create_dir(own.join(HOST_GROUP)).expect("folder");
        fs::write(own.join(HOST_GROUP).join("cgroup.procs"), "").expect("writes");
        assert_eq!(parent_of_children(own).expect("a parent"), own);
        let read = |file: &str| fs::read_to_string(own.join(file)).expect("reads");
        assert_eq!(read("longshore-host/cgroup.procs"), std::process::id().to_string());
        assert_eq!(
            read("cgroup.subtree_control"),
            "+cpuory",
            "one write a controller, over each other in a plain file"
        );
        assert_eq!(
            parent_of_children(&own.join(HOST_GROUP)).expect("a parent"),
            own,
            "it is in its leaf by now"
        );
    }

    #[test]
    fn a_group_with_other_processes_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        group(folder.path(), &format!("{}\n1\n", std::process::id()), "cpu\n");
        let error = parent_of_children(folder.path()).expect_err("others are there");
        assert!(error.to_string().contains("1 other processes"), "{error}");
        assert!(!folder.path().join(HOST_GROUP).exists());
    }
}
