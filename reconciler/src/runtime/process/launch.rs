//! Starting this same program as a child, and ending it again.
//!
//! A child reads its specification from a pipe, of which its host keeps the other end: a byte there asks for the end of
//! the child and of whatever it started, and so does the end of the host. A process is addressed by its number only by
//! its parent, which has not waited for it yet.

use crate::artifact::policy::OWN_PROGRAM;
use longshore_workflow_plugin::interface::INTERFACE_HASH;
use serde::{Deserialize, Serialize};
use std::io::{self, PipeReader, PipeWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Longest specification, in bytes: less than a pipe holds, so that it is written before the child reads.
pub(super) const MAX_SPEC: usize = 32 << 10;

/// This build of the host: children speak the same frames or refuse.
pub(crate) fn build() -> String {
    /// Everything that passes between the two.
    const SOURCES: [&[u8]; 8] = [
        include_bytes!("child.rs"),
        include_bytes!("control.rs"),
        include_bytes!("crash.rs"),
        include_bytes!("exit.rs"),
        include_bytes!("frames.rs"),
        include_bytes!("launch.rs"),
        include_bytes!("spec.rs"),
        include_bytes!("../probe.rs"),
    ];
    const HASH: u64 = hash(SOURCES);
    format!("{} {:016x}", env!("CARGO_PKG_VERSION"), HASH ^ INTERFACE_HASH)
}

/// FNV-1a.
const fn hash<const N: usize>(sources: [&[u8]; N]) -> u64 {
    let (mut hash, mut source) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while source < N {
        let mut at = 0;
        while at < sources[source].len() {
            hash = (hash ^ sources[source][at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        source += 1;
    }
    hash
}

/// The first line of a child's specification: whose child it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope<T> {
    /// The host's [`build`].
    pub(crate) build: String,
    /// The specification, in this build's form.
    pub(crate) spec: T,
}

/// The pipe to a child.
#[derive(Debug)]
pub(crate) struct Control(Mutex<PipeWriter>);

/// A command that starts this program as a child, and the pipe to it.
pub(crate) fn command(program: &Path, argument: &str) -> io::Result<(Command, Control)> {
    let (reader, writer): (PipeReader, PipeWriter) = io::pipe()?;
    let mut command = Command::new(program);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        if program == Path::new(OWN_PROGRAM) {
            // Its own name in the list of processes, not that of the link.
            let own = std::env::args_os().next().unwrap_or_else(|| "longshore".into());
            command.arg0(own);
        }
        command.process_group(0);
    }
    command.arg(argument).stdin(reader);
    Ok((command, Control(Mutex::new(writer))))
}

impl Control {
    /// Sends the specification, after which the child begins.
    pub(crate) fn begin<T: Serialize>(&self, spec: T) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Envelope { build: build(), spec })?;
        if line.len() >= MAX_SPEC {
            return Err(io::Error::other(format!(
                "a specification of {} bytes, over {MAX_SPEC}",
                line.len()
            )));
        }
        line.push(b'\n');
        self.write(&line)
    }

    /// Asks for the end of the child and of whatever it started. One that is gone needs no asking.
    pub(crate) fn end(&self) {
        let _ = self.write(b"e");
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
    }
}
