//! What a package leaves in the host's process, looked for before its library is unmapped: threads and signal handlers that
//! would run code that is not there any more.

#[cfg(unix)]
use nix::libc::sigaction;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::OnceLock;
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

/// Signal handlers of the host, as they were before it opened its first library.
#[cfg(unix)]
static OWN_HANDLERS: OnceLock<Vec<Option<sigaction>>> = OnceLock::new();

/// The highest number of a signal, those for real time included.
#[cfg(unix)]
const LAST_SIGNAL: i32 = 64;

/// Notes the handlers of the host, before its first library is opened.
#[cfg(unix)]
pub(crate) fn note_own_handlers() {
    OWN_HANDLERS.get_or_init(|| (0..=LAST_SIGNAL).map(handler_of).collect());
}

#[cfg(not(unix))]
pub(crate) fn note_own_handlers() {}

/// Takes away handlers that are in a library: the host has those again that it had. One of the library's may have called it.
#[cfg(unix)]
fn reset_handlers(ranges: &[(usize, usize)]) -> Vec<i32> {
    let is_in =
        |action: &sigaction| ranges.iter().any(|(start, end)| (*start..*end).contains(&action.sa_sigaction));
    let left = |signal: &i32| handler_of(*signal).is_some_and(|action| is_in(&action));
    let own = |signal: i32| *OWN_HANDLERS.get()?.get(signal as usize)?;
    (1..=LAST_SIGNAL).filter(left).filter(|signal| set_handler(*signal, own(*signal))).collect()
}

/// The handler of a signal. None for numbers that are not of a signal.
#[cfg(unix)]
#[expect(unsafe_code, reason = "signal handlers are asked for")]
fn handler_of(signal: i32) -> Option<sigaction> {
    // SAFETY: zeroes are a sigaction, which the call fills. Nothing is set.
    unsafe {
        let mut action: sigaction = std::mem::zeroed();
        (sigaction(signal, std::ptr::null(), &raw mut action) == 0).then_some(action)
    }
}

/// Sets the handler of a signal; none for the one of a process that set nothing. False when it is not set.
#[cfg(unix)]
#[expect(unsafe_code, reason = "signal handlers are set")]
fn set_handler(signal: i32, action: Option<sigaction>) -> bool {
    // SAFETY: zeroes are a sigaction that says SIG_DFL; a handler is one that the host had set itself.
    unsafe {
        let action = action.unwrap_or_else(|| std::mem::zeroed());
        sigaction(signal, &raw const action, std::ptr::null_mut()) == 0
    }
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
