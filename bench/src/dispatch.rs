//! A no-op task through the vtable, not detached, one key touched.

use crate::echo::{__fidius_Echo, EchoPlugin};
use crate::package::{MANY, Measured, build};
use crate::row::{Row, median};
use fidius_host::PluginHandle;
use longshore_workflow::private::write_frame;
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::wire::{StartTask, TaskRequest, Wire};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

const FLOOR: &str = "fidius raw echo of the same bytes";

/// Keys of a context that is measured: what a real one has.
const KEYS: usize = 10;

pub(crate) fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let measured = Measured::open(&build()?, folder.path(), None)?;
    let _ = (EchoPlugin, __fidius_Echo::METHOD_ECHO);
    let echo = PluginHandle::from_descriptor(PluginHandle::find_in_process_descriptor("EchoPlugin")?)?;
    let rounds = if smoke { 1 } else { 9 };
    let mut rows = Vec::new();
    let touch = measured.index("wf_touches", "touch")?;
    for (name, bytes, calls) in [
        ("context_empty", 0, 20_000),
        ("context_1kb", 1 << 10, 20_000),
        ("context_100kb", 100 << 10, 2_000),
        ("context_1mb", 1 << 20, 300),
    ] {
        let request = request(touch, bytes);
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            floor.push(per_call(calls, || echo.call_method_raw(0, &request).map(drop))?);
            ours.push(per_call(calls, || {
                measured.handle.call_method_raw(Method::ExecuteTask.position(), &request).map(drop)
            })?);
        }
        rows.push(Row::new(name, "ns", median(ours)).floor(median(floor), FLOOR));
    }
    for (name, task) in [("first_of_1000", "t0000".to_owned()), ("last_of_1000", format!("t{:04}", MANY - 1))]
    {
        let request = request(measured.index("wf_many", &task)?, 0);
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            floor.push(per_call(20_000, || echo.call_method_raw(0, &request).map(drop))?);
            ours.push(per_call(20_000, || {
                measured.handle.call_method_raw(Method::ExecuteTask.position(), &request).map(drop)
            })?);
        }
        rows.push(Row::new(name, "ns", median(ours)).floor(median(floor), FLOOR));
    }
    rows.push(hop(rounds));
    Ok(rows)
}

fn per_call(
    calls: usize,
    mut call: impl FnMut() -> Result<(), fidius_host::CallError>,
) -> anyhow::Result<f64> {
    call()?;
    let began = Instant::now();
    for _ in 0..calls {
        black_box(call())?;
    }
    Ok(began.elapsed().as_nanos() as f64 / calls as f64)
}

/// A request with a context of about this many bytes.
fn request(task: u32, bytes: usize) -> Vec<u8> {
    let start = StartTask { lease: 1, task, attempt: 1, run: [7; 16], deadline_ms: 0, detached: false };
    let mut request = TaskRequest::Start(start).encode();
    let value = format!("\"{}\"", "x".repeat(bytes / KEYS));
    let entries: BTreeMap<String, &[u8]> = (0..if bytes == 0 { 0 } else { KEYS })
        .map(|i| (format!("k{i}"), if i == 0 { &b"1"[..] } else { value.as_bytes() }))
        .collect();
    write_frame(entries.iter().map(|(k, v)| (k.as_str(), *v)), &mut request);
    request
}

/// To a lane and back: a channel to a thread, and its answer.
fn hop(rounds: usize) -> Row {
    type Job = Box<dyn FnOnce() + Send>;
    let (jobs, lane) = std::sync::mpsc::channel::<Job>();
    let thread = std::thread::spawn(move || lane.iter().for_each(|job| job()));
    let mut readings = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        for _ in 0..5_000 {
            let (reply, answer) = tokio::sync::oneshot::channel();
            let _ = jobs.send(Box::new(move || reply.send(()).unwrap_or_default()));
            let _ = answer.blocking_recv();
        }
        readings.push(began.elapsed().as_nanos() as f64 / 5_000.0);
    }
    drop(jobs);
    let _ = thread.join();
    Row::new("hop", "ns", median(readings))
}
