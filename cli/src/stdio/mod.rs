//! The command's own stdout and stderr, apart from what packages print.
//!
//! A package that is loaded into this process writes to the same descriptors as the command. Before a host is opened the
//! command keeps duplicates of them for itself ([`capture`]), and whatever still goes to descriptors 1 and 2 becomes log
//! lines: a document on stdout stays whole, `| head` fails no task, and no line is lost between progress bars.

mod crash_output;
mod lines;

pub(crate) use crash_output::print_if_requested;

use indicatif::{MultiProgress, ProgressDrawTarget};
use lines::Printed;
use longshore_engine::EngineHandle;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The descriptors that this command keeps for itself.
struct OwnOutput {
    out: File,
    err: File,
}

static OWN_OUTPUT: OnceLock<OwnOutput> = OnceLock::new();

/// Bars on the terminal, above which everything else is written.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// The capture of what packages print, until it is dropped.
pub(crate) struct Captured(Option<Printed>);

/// Sends what is printed from now on to the log, but for what this command prints itself.
///
/// # Errors
/// Those of the system.
pub(crate) fn capture() -> io::Result<Captured> {
    let duplicate = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let kept = OwnOutput { out: duplicate(io::stdout().as_fd())?, err: duplicate(io::stderr().as_fd())? };
    let printed = Printed::begin(&kept.err)?;
    // It is set once: a command captures once.
    let _ = OWN_OUTPUT.set(kept);
    Ok(Captured(Some(printed)))
}

impl Captured {
    /// Names the runs that lines may be of.
    pub(crate) fn follow(&self, engine: &EngineHandle) {
        if let Some(printed) = &self.0 {
            printed.follow(engine);
        }
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        if let (Some(printed), Some(kept)) = (self.0.take(), OWN_OUTPUT.get()) {
            printed.end(&kept.out, &kept.err);
        }
    }
}

/// Writes to stdout.
///
/// # Errors
/// Those of the system.
pub(crate) fn write_out(bytes: &[u8]) -> io::Result<()> {
    let write = |mut out: &mut dyn Write| -> io::Result<()> {
        out.write_all(bytes)?;
        (&mut out).flush()
    };
    match OWN_OUTPUT.get() {
        Some(OwnOutput { out, .. }) => write(&mut &*out),
        None => write(&mut io::stdout().lock()),
    }
}

/// The command's stderr.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Err;

impl Err {
    pub(crate) fn is_terminal() -> bool {
        OWN_OUTPUT.get().map_or_else(|| io::stderr().is_terminal(), |kept| kept.err.is_terminal())
    }

    fn write_now(bytes: &[u8]) -> io::Result<()> {
        match OWN_OUTPUT.get() {
            Some(OwnOutput { err, .. }) => (&*err).write_all(bytes),
            None => io::stderr().lock().write_all(bytes),
        }
    }
}

impl Write for Err {
    /// Never fails: bytes that a full disk or a reader that went away does not take are lost.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bars = bars();
        let _ = match &*bars {
            Some(bars) => bars.suspend(|| Self::write_now(bytes)),
            None => Self::write_now(bytes),
        };
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The command's stderr for a program that it starts and whose messages are its own.
pub(crate) fn stderr_of_child() -> Stdio {
    let kept = OWN_OUTPUT.get().and_then(|kept| kept.err.try_clone().ok());
    kept.map_or_else(Stdio::inherit, Stdio::from)
}

fn bars() -> MutexGuard<'static, Option<MultiProgress>> {
    BARS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bars on the terminal of stderr; none where there is no terminal, or a dumb one.
pub(crate) fn begin_bars() -> Option<MultiProgress> {
    let target = match OWN_OUTPUT.get() {
        Some(kept) => {
            let (read, write) = (kept.err.try_clone().ok()?, kept.err.try_clone().ok()?);
            ProgressDrawTarget::term(console::Term::read_write_pair(read, write), 20)
        }
        None => ProgressDrawTarget::stderr(),
    };
    let all = MultiProgress::with_draw_target(target);
    if all.is_hidden() {
        return None;
    }
    *bars() = Some(all.clone());
    Some(all)
}

/// From now on nothing is drawn any more.
pub(crate) fn end_bars() {
    *bars() = None;
}

/// The height of the terminal of stderr in lines.
pub(crate) fn height() -> usize {
    let size = match OWN_OUTPUT.get() {
        Some(kept) => kept
            .err
            .try_clone()
            .and_then(|read| Ok((read, kept.err.try_clone()?)))
            .ok()
            .map(|(read, write)| console::Term::read_write_pair(read, write).size()),
        None => Some(console::Term::stderr().size()),
    };
    size.map_or(0, |(height, _)| usize::from(height))
}

/// A line on stderr. Nobody may be there to read it: that is not a failure.
macro_rules! errln {
    ($($text:tt)*) => {{
        let line = format!("{}\n", format_args!($($text)*));
        let _ = std::io::Write::write_all(&mut $crate::stdio::Err, line.as_bytes());
    }};
}

pub(crate) use errln;
