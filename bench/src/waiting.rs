//! Ten thousand tasks of one package that sleep for two seconds, at once.

use crate::package::{Measured, build};
use crate::process::status;
use crate::row::Row;
use anyhow::ensure;
use fidius::PluginError;
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::interface::LongshoreHost;
use longshore_workflow_plugin::wire::{StartTask, TaskReply, TaskRequest, Wire};
use serde_bytes::ByteBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Counter {
    finished: AtomicU64,
}

impl LongshoreHost for Counter {
    fn finished(&self, _: u64, reply: ByteBuf) {
        if TaskReply::decode(&reply) == Ok(TaskReply::Done) {
            self.finished.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn log(&self, _: ByteBuf) {}

    fn release_slot(&self, _: u64) -> Result<(), PluginError> {
        Ok(())
    }

    fn reclaim_slot(&self, _: u64) -> Result<bool, PluginError> {
        Ok(true)
    }

    fn asset(&self, _: String) -> Result<ByteBuf, PluginError> {
        Err(PluginError::new("ASSET", "there are none"))
    }
}

pub(crate) fn run(smoke: bool) -> anyhow::Result<Vec<Row>> {
    let count: u64 = if smoke { 100 } else { 10_000 };
    let folder = tempfile::tempdir()?;
    let counter = Arc::new(Counter::default());
    let measured =
        Measured::open(&build()?, folder.path(), Some(Arc::clone(&counter) as Arc<dyn LongshoreHost>))?;
    let task = measured.index("wf_sleeps", "sleeper")?;
    let before = status("VmRSS");
    let began = Instant::now();
    for lease in 1..=count {
        let start = StartTask { lease, task, attempt: 1, run: [7; 16], deadline_ms: 0, detached: true };
        let mut request = TaskRequest::Start(start).encode();
        request.extend_from_slice(&0_u32.to_le_bytes());
        let reply = measured.handle.call_method_raw(Method::ExecuteTask.position(), &request)?;
        ensure!(TaskReply::decode(&reply)? == TaskReply::Accepted, "not accepted");
    }
    let (threads, bytes) = (status("Threads"), status("VmRSS").saturating_sub(before) * 1024);
    while counter.finished.load(Ordering::Relaxed) < count {
        ensure!(began.elapsed() < Duration::from_secs(60), "the sleepers do not wake");
        std::thread::sleep(Duration::from_millis(1));
    }
    let seconds = began.elapsed().as_secs_f64();
    let row = Row::new(format!("sleepers_{count}"), "s", seconds)
        .floor(2.0, "the sleep itself")
        .with("seconds", seconds)
        .with("threads", threads)
        .with("bytes_per_task", bytes / count);
    Ok(vec![row])
}
