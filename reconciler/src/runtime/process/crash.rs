//! The crash report of a dying child: the signal and where it came from, with symbols, on stderr.
//!
//! The handler runs on the small signal stack, where nothing may be looked up: it wakes a thread that was started
//! before the library was opened, for the signal first, then for the frames. That thread finds the symbols while
//! the handler waits, for a moment only; then the signal does what it does without a handler.

use nix::libc::{c_int, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use std::ffi::c_void;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::Duration;

/// Begins the report.
pub(crate) const CRASHED: &str = "crashed: ";

/// Frames that are noted.
const FRAMES: usize = 64;

/// The time the signal is held up at most.
const REPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// The signals that end a process that did something impossible. A stack that overflowed is a `SIGSEGV` too.
const SIGNALS: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT];

static NOTED: [AtomicPtr<c_void>; FRAMES] = [const { AtomicPtr::new(std::ptr::null_mut()) }; FRAMES];

static COUNT: AtomicUsize = AtomicUsize::new(0);

static SIGNAL: AtomicI32 = AtomicI32::new(0);

static ADDRESS: AtomicUsize = AtomicUsize::new(0);

/// Parts of the report that are out.
static REPORTED: AtomicI32 = AtomicI32::new(0);

static WAKE: OnceLock<UnixStream> = OnceLock::new();

/// Reports the signals that end a process from now on.
pub(crate) fn report_signals() {
    let Ok((wake, woken)) = UnixStream::pair() else { return };
    if WAKE.set(wake).is_err() {
        return;
    }
    // A thread that starts needs the lock of the dynamic linker, which is held while constructors run: it must be
    // up before any library is opened.
    let up = Arc::new(Barrier::new(2));
    let here = Arc::clone(&up);
    std::thread::spawn(move || {
        here.wait();
        report(woken);
    });
    up.wait();
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK | SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER;
    let action = SigAction::new(SigHandler::SigAction(note), flags, SigSet::empty());
    for signal in SIGNALS {
        install(signal, &action);
    }
}

#[expect(unsafe_code, reason = "a signal handler is installed")]
fn install(signal: Signal, action: &SigAction) {
    // SAFETY: `note` touches atomics and a socket only, and walks the stack, which is about to end anyway.
    // A process without it dies of the signal just the same.
    let _ = unsafe { sigaction(signal, action) };
}

extern "C" fn note(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // The first thread that crashes is reported; others wait with it and end with it.
    if SIGNAL.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        ADDRESS.store(address_of(info), Ordering::SeqCst);
        end_in_time();
        wake_and_wait(1);
        // On the rest of a stack that overflowed this may fault again: the first line is out by now.
        note_frames();
        wake_and_wait(2);
    } else {
        wait_for(2);
    }
    // SA_RESETHAND took the handler away: a fault comes again at once, and what was sent is sent again.
    let _ = Signal::try_from(signal).map(raise);
}

/// Ends this process when walking the stack takes a lock that the crashed thread holds. The first line is out by then.
#[expect(unsafe_code, reason = "a signal's handler is taken away")]
fn end_in_time() {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: both calls are safe in a handler, and the default action runs nothing of ours.
    let _ = unsafe { sigaction(Signal::SIGALRM, &action) };
    let _ = SigSet::from(Signal::SIGALRM).thread_unblock();
    nix::unistd::alarm::set(3 * REPORT_TIMEOUT.as_secs() as u32);
}

#[expect(unsafe_code, reason = "the system hands a pointer")]
fn address_of(info: *mut siginfo_t) -> usize {
    // SAFETY: a handler with SA_SIGINFO gets a valid pointer, or none.
    unsafe { info.as_ref().map_or(0, |info| info.si_addr() as usize) }
}

/// Asks the reporting thread for a part of the report, and gives it a while.
fn wake_and_wait(part: i32) {
    if let Some(mut wake) = WAKE.get() {
        let _ = wake.write_all(&[1]);
    }
    wait_for(part);
}

fn wait_for(part: i32) {
    let step = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    while REPORTED.load(Ordering::SeqCst) < part && waited < REPORT_TIMEOUT {
        std::thread::sleep(step);
        waited += step;
    }
}

#[expect(unsafe_code, reason = "the stack is walked without the lock of the crate that walks it")]
fn note_frames() {
    // SAFETY: one thread comes here, once, and the reporting thread looks symbols up after it has been here.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            let at = COUNT.fetch_add(1, Ordering::SeqCst);
            NOTED[at].store(frame.ip(), Ordering::SeqCst);
            at + 1 < FRAMES
        });
    }
}

fn report(mut woken: UnixStream) {
    for (part, text) in [(1, first_line as fn() -> String), (2, frames)] {
        if woken.read_exact(&mut [0]).is_err() {
            return;
        }
        // Whoever reads stderr may be gone.
        let _ = std::io::stderr().write_all(text().as_bytes());
        REPORTED.store(part, Ordering::SeqCst);
    }
}

fn first_line() -> String {
    let signal = SIGNAL.load(Ordering::SeqCst);
    let address = ADDRESS.load(Ordering::SeqCst);
    let text = crate::runtime::process::exit::signal_text(signal);
    if signal != Signal::SIGSEGV as i32 {
        return format!("{CRASHED}{text}\n");
    }
    let why = if is_guard(address) { ": a stack overflowed" } else { "" };
    format!("{CRASHED}{text} at address {address:#x}{why}\n")
}

/// True when an address is in the guard at the end of a stack: mapped so that nobody may touch it, or the gap that
/// the system keeps below the stack of the first thread.
fn is_guard(address: usize) -> bool {
    /// The gap that Linux keeps free below a stack that grows.
    const GAP: usize = 1 << 20;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().any(|line| {
        let mut words = line.split_whitespace();
        let range = words.next().and_then(|range| range.split_once('-'));
        let (Some((from, to)), Some(rights)) = (range, words.next()) else { return false };
        let parse = |hex| usize::from_str_radix(hex, 16).unwrap_or(0);
        let (from, to) = (parse(from), parse(to));
        let guard = rights.starts_with("---") && (from..to).contains(&address);
        guard || line.ends_with("[stack]") && (from.saturating_sub(GAP)..from).contains(&address)
    })
}

fn frames() -> String {
    let mut text = String::new();
    let count = COUNT.load(Ordering::SeqCst).min(FRAMES);
    for (number, frame) in NOTED[..count].iter().enumerate() {
        let ip = frame.load(Ordering::SeqCst);
        let mut named = false;
        backtrace::resolve(ip, |symbol| {
            named = true;
            let name = symbol.name().map_or_else(|| "?".to_owned(), |name| format!("{name:#}"));
            let _ = write!(text, "{number:>4}: {name}");
            if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
                let _ = write!(text, " at {}:{line}", file.display());
            }
            text.push('\n');
        });
        if !named {
            let _ = writeln!(text, "{number:>4}: {ip:?}");
        }
    }
    text
}
