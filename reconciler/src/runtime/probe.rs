//! The last check: a child process opens the library and asks it for everything it declares.
//!
//! The child is this same binary, started by [`crate::run_child_if_requested`], with no environment but the search path of
//! the dynamic linker, and limits of its own. Whatever the library does to it (crash, hang, exit) ends as an error here.

use crate::artifact::cache::{FileIdentity, VerifiedArtifact, open_verified};
use crate::artifact::policy::own_program;
use crate::error::Error;
use crate::runtime::environment::LINKER_VARIABLES;
use crate::runtime::instance::{Instance, check_declared};
use crate::runtime::library::OpenLibrary;
use crate::runtime::process::entry::{Spec, enter};
use crate::runtime::process::exit::{LEFT_PROCESSES, OTHER_BUILD, describe_exit, is_own_exit};
use crate::runtime::process::launch::{self, Control};
use longshore_package::{Declared, Digest, StaticRecord};
use longshore_workflow_plugin::wire::ShellConfig;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// The first argument of a child that is to probe.
pub(crate) const ARGUMENT: &str = "__longshore-probe";

/// Most output of a child that is read.
const MAX_OUTPUT: u64 = 1 << 20;

/// Memory of a probe, in megabytes, unless the manifest says otherwise: far more than opening a library takes.
const MEMORY_MB: u64 = 2048;

/// The time a child that was asked to end gets for it.
const EXIT_TIMEOUT: Duration = Duration::from_secs(3);

/// The options of a probe.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// The program, of the same build as this one, which calls [`crate::run_child_if_requested`] first thing in `main`.
    pub program: PathBuf,
    /// The time the child may take.
    pub limit: Duration,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self { program: own_program(), limit: Duration::from_secs(10) }
    }
}

/// The specification of a probe.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ProbeSpec {
    library: PathBuf,
    identity: FileIdentity,
    memory_mb: u64,
    cpu_seconds: u64,
    /// Stands before the answer: what the library prints is not taken for it.
    nonce: String,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    code: String,
    message: String,
}

/// Probes a verified library.
///
/// # Errors
/// [`Error::ProbeCrashed`], [`Error::ProbeHung`], [`Error::ChildRefused`], [`Error::ProbeStart`], [`Error::OtherBuild`].
pub async fn probe(artifact: &VerifiedArtifact, options: &ProbeOptions) -> Result<(), Error> {
    let limits = &artifact.manifest().limits;
    let seconds = options.limit.as_secs() + 1;
    let spec = ProbeSpec {
        library: artifact.path().to_owned(),
        identity: artifact.identity(),
        memory_mb: limits.memory_mb.unwrap_or(MEMORY_MB),
        cpu_seconds: limits.cpu_seconds.map_or(seconds, |limit| limit.min(seconds)),
        nonce: format!("{:032x}", rand::random::<u128>()),
    };
    let (mut child, control) = start(&spec, options).map_err(|source| Error::ProbeStart { source })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let finished = async { tokio::join!(read(stdout), read(stderr), child.wait()) };
    let Ok((stdout, stderr, status)) = tokio::time::timeout(options.limit, finished).await else {
        end(&mut child, &control).await;
        return Err(Error::ProbeHung { seconds: options.limit.as_secs() });
    };
    let status = status.map_err(|source| Error::ProbeStart { source })?;
    result(status, &stdout, &stderr, &spec.nonce)
}

fn start(spec: &ProbeSpec, options: &ProbeOptions) -> std::io::Result<(Child, Control)> {
    let (mut command, control) = launch::command(&options.program, ARGUMENT)?;
    // For people who look at the list of processes.
    command.arg(&spec.library);
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(LINKER_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    // When this future is dropped, the pipe closes, and the child ends.
    let child = Command::from(command).spawn()?;
    control.begin(spec)?;
    Ok((child, control))
}

/// Ends a child that takes too long, with whatever it started.
async fn end(child: &mut Child, control: &Control) {
    control.end();
    if tokio::time::timeout(EXIT_TIMEOUT, child.wait()).await.is_err() {
        // It may have ended in this moment.
        let _ = child.start_kill();
    }
}

fn result(status: ExitStatus, stdout: &str, stderr: &str, nonce: &str) -> Result<(), Error> {
    if status.code() == Some(OTHER_BUILD) {
        return Err(Error::OtherBuild { ours: launch::build(), theirs: String::new() });
    }
    if status.code() == Some(LEFT_PROCESSES) {
        let exit = "it started processes and left them behind".to_owned();
        return Err(Error::ProbeCrashed { exit, by_library: true });
    }
    let answer = stdout.lines().rev().find_map(|line| line.strip_prefix(nonce));
    match answer.and_then(|json| serde_json::from_str::<Answer>(json).ok()) {
        Some(answer) if answer.code.is_empty() && status.success() => Ok(()),
        Some(answer) if !answer.code.is_empty() => {
            Err(Error::ChildRefused { code: answer.code, message: answer.message })
        }
        _ => {
            let by_library = is_own_exit(status, stderr);
            Err(Error::ProbeCrashed { exit: describe_exit(status, stderr), by_library })
        }
    }
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
pub(crate) fn serve() -> ! {
    let (nonce, examined) = match enter::<ProbeSpec>(|_| Duration::ZERO) {
        Spec::Ours(spec) => (spec.nonce.clone(), examine(&spec)),
        Spec::OtherBuild | Spec::Missing => {
            eprintln!(
                "a host starts its probes like this; it is not a command, and this is not that host's program"
            );
            std::process::exit(OTHER_BUILD);
        }
    };
    let answer = match examined {
        Ok(()) => Answer { code: String::new(), message: String::new() },
        Err(error) => Answer { code: error.code().to_owned(), message: error.full() },
    };
    println!("\n{nonce}{}", serde_json::to_string(&answer).unwrap_or_default());
    std::process::exit(0);
}

fn examine(spec: &ProbeSpec) -> Result<(), Error> {
    #[cfg(unix)]
    crate::runtime::process::limits::limit_self(Some(spec.memory_mb), Some(spec.cpu_seconds))
        .map_err(|error| Error::Load { message: format!("the limits of the probe were not set: {error}") })?;
    let path: &Path = &spec.library;
    let mut bytes = Vec::new();
    let read = open_verified(path, spec.identity)?.read_to_end(&mut bytes);
    read.map_err(|source| Error::CacheRead { path: path.to_owned(), source })?;
    let declared = Declared::of_record(&StaticRecord::of_library(&bytes)?);
    drop(bytes);
    let config = ShellConfig { workers: 1, log_level: 0, shutdown_ms: 1000 };
    let library = OpenLibrary::open_file(path, spec.identity, None, &config, drop)?;
    let asked: &dyn Instance = &library;
    asked.check_positions()?;
    let metadata = asked.metadata()?;
    check_declared(&metadata, &declared)?;
    longshore_engine::definitions(&metadata.tasks, &Digest::from_sha256([0; 32]))?;
    library.end_instance();
    Ok(())
}
