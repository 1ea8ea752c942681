//! A package in a process of its own: a call, and its start.

use crate::package::build_small;
use crate::row::{Row, median, percentile};
use longshore_package::Isolation;
use longshore_reconciler::artifact::{IsolationPolicy, VerifiedArtifact, VerifyOptions, verify};
use longshore_reconciler::runtime::{Generation, RuntimeOptions};
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::wire::{TaskRequest, Wire};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The first argument of the process that echoes.
const ECHO: &str = "__longshore-bench-echo";

const FLOOR: &str = "an echo of the same bytes over a bare socket pair by another process";

/// Does the echo's part when this process was started as one.
pub(crate) fn echo_if_asked() {
    if std::env::args().nth(1).as_deref() != Some(ECHO) {
        return;
    }
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else { std::process::exit(1) };
    let mut socket = UnixStream::from(socket);
    let mut bytes = [0; 64];
    while let Ok(count @ 1..) = socket.read(&mut bytes) {
        if socket.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    std::process::exit(0);
}

pub(crate) async fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let artifact = verify(&build_small()?, &VerifyOptions::default())?.store(folder.path())?;
    let policy = IsolationPolicy { all: true, ..IsolationPolicy::default() };
    let (calls, starts) = if smoke { (100, 1) } else { (50_000, 30) };
    let options = RuntimeOptions::quiet(policy);
    // An attempt that is not there is cancelled: the least that a call can do.
    let request = TaskRequest::Cancel { lease: u64::MAX }.encode();
    let floor = echo(&request, calls)?;
    let ours = call(&artifact, &options, request, calls).await?;
    let (ours_p99, floor_p99) = (percentile(ours.clone(), 99), percentile(floor.clone(), 99));
    let call = Row::new("call", "us", median(ours)).floor(median(floor), FLOOR);
    let mut ready = Vec::with_capacity(starts);
    for _ in 0..starts {
        let began = Instant::now();
        let generation = Generation::open(artifact.clone(), &options).await?;
        ready.push(began.elapsed().as_secs_f64() * 1000.0);
        generation.close().await;
    }
    let start = Row::new("child_start", "ms", median(ready));
    Ok(vec![call.with("p99", ours_p99).with("floor_p99", floor_p99), start])
}

async fn call(
    artifact: &VerifiedArtifact,
    options: &RuntimeOptions,
    request: Vec<u8>,
    calls: usize,
) -> anyhow::Result<Vec<f64>> {
    let generation = Generation::open(artifact.clone(), options).await?;
    anyhow::ensure!(generation.isolation() == Isolation::Process, "it is not isolated");
    let timed = generation.on_its_lane(move |package| {
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let began = Instant::now();
            package.call(Method::ExecuteTask, &request)?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
        Ok::<_, longshore_reconciler::Error>(times)
    });
    let timed = timed.await.ok_or_else(|| anyhow::anyhow!("the lane ended"))??;
    generation.close().await;
    Ok(timed)
}

fn echo(request: &[u8], calls: usize) -> anyhow::Result<Vec<f64>> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let theirs = Stdio::from(OwnedFd::from(theirs));
    let mut child = Command::new(std::env::current_exe()?).arg(ECHO).stdin(theirs).spawn()?;
    let mut reply = vec![0; request.len()];
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let began = Instant::now();
        ours.write_all(request)?;
        ours.read_exact(&mut reply)?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    drop(ours);
    child.wait()?;
    Ok(times)
}
