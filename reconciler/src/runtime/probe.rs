//! The last check: a child process opens the library and asks it for everything it declares.
//!
//! The child is this same binary, started by [`crate::run_child_if_requested`]. It sees no secret of the host but its
//! environment, and whatever the library does to it (crash, hang, exit) ends as an error here.

use crate::artifact::cache::VerifiedArtifact;
use crate::error::Error;
use crate::runtime::instance::{Instance, check_declared};
use crate::runtime::library::OpenLibrary;
use crate::runtime::process::exit::describe_exit;
use longshore_package::{Declared, Digest, StaticRecord};
use longshore_workflow_plugin::wire::ShellConfig;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// The first argument of a child that is to probe; the second is the library.
pub(crate) const ARGUMENT: &str = "__longshore-probe";

/// Stands before the child's answer, so that what a library prints is not taken for it.
const MARK: &str = "LONGSHORE-PROBE ";

/// Most output of a child that is read.
const MAX_OUTPUT: u64 = 1 << 20;

/// The options of a probe.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// The program, which calls [`crate::run_child_if_requested`] first thing in `main`.
    pub program: PathBuf,
    /// The time the child may take.
    pub limit: Duration,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            program: std::env::current_exe().unwrap_or_else(|_| "longshore".into()),
            limit: Duration::from_secs(10),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Answer {
    code: String,
    message: String,
}

/// Probes a verified library.
///
/// # Errors
/// [`Error::ProbeCrashed`], [`Error::ProbeHung`], [`Error::ChildRefused`], [`Error::ProbeStart`].
pub async fn probe(artifact: &VerifiedArtifact, options: &ProbeOptions) -> Result<(), Error> {
    let mut command = Command::new(&options.program);
    command.arg(ARGUMENT).arg(artifact.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(|source| Error::ProbeStart { source })?;
    let group = child.id();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let wait = async {
        let status = child.wait().await;
        // What the child started holds its pipes: with it they close.
        (status, end_group(group))
    };
    let finished = async { tokio::join!(read(stdout), read(stderr), wait) };
    let Ok((stdout, stderr, (status, left))) = tokio::time::timeout(options.limit, finished).await else {
        end_group(group);
        return Err(Error::ProbeHung { seconds: options.limit.as_secs() });
    };
    let status = status.map_err(|source| Error::ProbeStart { source })?;
    if left {
        return Err(Error::ProbeCrashed { exit: "it started processes and left them behind".to_owned() });
    }
    let answer = stdout.lines().rev().find_map(|line| line.strip_prefix(MARK));
    match answer.and_then(|json| serde_json::from_str::<Answer>(json).ok()) {
        Some(answer) if answer.code.is_empty() && status.success() => Ok(()),
        Some(answer) if !answer.code.is_empty() => {
            Err(Error::ChildRefused { code: answer.code, message: answer.message })
        }
        _ => Err(Error::ProbeCrashed { exit: describe_exit(status, &stderr) }),
    }
}

/// Kills what is left of a child's group. Whether there was anything.
#[cfg(unix)]
fn end_group(leader: Option<u32>) -> bool {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;
    leader.is_some_and(|leader| killpg(Pid::from_raw(leader.cast_signed()), Signal::SIGKILL).is_ok())
}

#[cfg(not(unix))]
fn end_group(_: Option<u32>) -> bool {
    false
}

async fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // The output up to an error is still worth showing.
        let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Does the child's part, and ends the process.
pub(crate) fn serve(library: Option<OsString>) -> ! {
    let answer = match library.map(|path| examine(Path::new(&path))) {
        Some(Ok(())) => Answer { code: String::new(), message: String::new() },
        Some(Err(error)) => Answer { code: error.code().to_owned(), message: error.full() },
        None => Answer { code: "LS0302".into(), message: "no library was named".into() },
    };
    println!("{MARK}{}", serde_json::to_string(&answer).unwrap_or_default());
    std::process::exit(0);
}

fn examine(path: &Path) -> Result<(), Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::CacheWrite { path: path.to_owned(), source })?;
    let declared = Declared::of_record(&StaticRecord::of_library(&bytes)?);
    let config = ShellConfig { workers: 1, log_level: 0, shutdown_ms: 1000 };
    let library = OpenLibrary::open_path(path, None, &config)?;
    let asked: &dyn Instance = &library;
    asked.check_positions()?;
    let metadata = asked.metadata()?;
    check_declared(&metadata, &declared)?;
    longshore_engine::definitions(&metadata.tasks, &Digest::from_sha256([0; 32]))?;
    drop(library);
    Ok(())
}
