//! What a package leaves in the host's process, looked for before its library is unmapped: threads and signal handlers that
//! would run code that is not there any more.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time that threads which are on their way out get.
const THREAD_GRACE: Duration = Duration::from_millis(300);

/// See [`THREAD_GRACE`].
const THREAD_INTERVAL: Duration = Duration::from_millis(10);

/// Longest name of a thread that Linux keeps.
const MAX_THREAD_NAME: usize = 15;

/// What a library left behind.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Threads that were started on its lanes and go on.
    pub(crate) threads: usize,
    /// Signals whose handlers were in it. They are as without a handler again.
    pub(crate) handlers: Vec<i32>,
}

/// Takes signal handlers away that are in a library, and looks for threads that its lanes started: a thread has the name of
/// the one that started it unless it takes another.
pub(crate) fn clear(library: &Path, lanes: &[String]) -> Leftovers {
    let until = Instant::now() + THREAD_GRACE;
    let mut threads = threads_named(lanes);
    while threads > 0 && Instant::now() < until {
        std::thread::sleep(THREAD_INTERVAL);
        threads = threads_named(lanes);
    }
    Leftovers { threads, handlers: reset_handlers(&ranges(library)) }
}

/// Threads of this process that have one of these names.
fn threads_named(names: &[String]) -> usize {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let cut: Vec<&str> = names.iter().map(|name| &name[..name.len().min(MAX_THREAD_NAME)]).collect();
    let comm = |path: PathBuf| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
    threads.flatten().filter(|thread| cut.contains(&comm(thread.path()).trim_end())).count()
}

/// The addresses at which a file is mapped in this process.
pub(crate) fn ranges(file: &Path) -> Vec<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let Some(file) = file.to_str() else { return Vec::new() };
    let range = |line: &str| {
        let (start, end) = line.split_whitespace().next()?.split_once('-')?;
        Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
    };
    maps.lines().filter(|line| line.contains(file)).filter_map(range).collect()
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "signal handlers are asked for and set")]
fn reset_handlers(ranges: &[(usize, usize)]) -> Vec<i32> {
    use nix::libc::{SIG_DFL, sigaction};
    let mut reset = Vec::new();
    for signal in 1..32 {
        // SAFETY: zeroes are a sigaction; the call fills it, and fails for numbers that are not of a signal.
        let mut action: sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: as above. Nothing is set.
        if unsafe { sigaction(signal, std::ptr::null(), &raw mut action) } != 0 {
            continue;
        }
        let handler = action.sa_sigaction;
        if ranges.iter().any(|(start, end)| (*start..*end).contains(&handler)) {
            // SAFETY: zeroes with SIG_DFL are the action of a process that set none.
            action = unsafe { std::mem::zeroed() };
            action.sa_sigaction = SIG_DFL;
            // SAFETY: the handler of a library that is about to be unmapped must not be called any more.
            if unsafe { sigaction(signal, &raw const action, std::ptr::null_mut()) } == 0 {
                reset.push(signal);
            }
        }
    }
    reset
}

#[cfg(not(unix))]
fn reset_handlers(_: &[(usize, usize)]) -> Vec<i32> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_by_the_name_they_inherit() {
        let name = "lane-0123456789ab".to_owned();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name(name.clone());
        let thread = thread.spawn(move || told.recv().is_err()).expect("starts");
        let names = [name];
        let until = Instant::now() + Duration::from_secs(10);
        while threads_named(&names) != 1 && Instant::now() < until {}
        assert_eq!(threads_named(&names), 1);
        assert_eq!(clear(Path::new("/nowhere"), &names).threads, 1);
        drop(tell);
        thread.join().expect("ends");
        assert_eq!(clear(Path::new("/nowhere"), &names).threads, 0);
    }
}
