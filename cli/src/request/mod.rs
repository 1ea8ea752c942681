//! Requests to the host of a database, and its answers.

pub(crate) mod decision;
pub(crate) mod input;

use crate::error::CliError;
use crate::home::now_ms;
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;
use longshore_engine::StartInput;
use longshore_store::{
    HostRow, NewRequest, RequestAnswer, RequestKind, RequestOutcome, RequestRow, RunId, Store, TenantId,
};
use serde_json::json;
use std::time::{Duration, Instant};

/// The time the host's answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The interval at which an answer is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A request by what it is, whose it is, and its name.
pub(crate) type Target<'t> = (RequestKind, TenantId, &'t str);

/// Asks the host to start something. Returns what it did, none when it has not answered in time: it still will.
pub(crate) async fn ask(
    store: &Store,
    (kind, tenant, name): Target<'_>,
    given: &StartInput,
    decision: &Decision,
    timeout: Option<Duration>,
) -> anyhow::Result<Option<RequestOutcome>> {
    let payload = serde_json::to_string(given)?;
    let (name, Decision { actor, reason }) = (name.to_owned(), decision.clone());
    let request = NewRequest { kind, tenant, name, payload, actor, reason };
    let id = request.insert(store, now_ms()).await?;
    let answer = answered(timeout, async || match RequestRow::answer(store, &id).await? {
        RequestAnswer::Waiting => Ok(None),
        answer => Ok(Some(answer)),
    });
    match answer.await? {
        Some(RequestAnswer::Done(outcome)) => Ok(Some(outcome)),
        Some(RequestAnswer::Refused { code, message, fix }) => {
            Err(CliError::Refused { code, message, fix }.into())
        }
        Some(RequestAnswer::Waiting) | None => Ok(None),
    }
}

/// Looks for an answer until it is there. None after `timeout`: it may still come.
pub(crate) async fn answered<A>(
    timeout: Option<Duration>,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<A>>,
) -> anyhow::Result<Option<A>> {
    let began = Instant::now();
    loop {
        let answer = look().await?;
        if answer.is_some() || timeout.is_some_and(|timeout| began.elapsed() > timeout) {
            return Ok(answer);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The time to wait for an answer: none when no host runs that could give one.
pub(crate) async fn answer_timeout(store: &Store) -> anyhow::Result<Duration> {
    let hosts = HostRow::running(store, now_ms()).await?;
    Ok(if hosts.is_empty() { Duration::ZERO } else { ANSWER_TIMEOUT })
}

/// The tenant and the name of `tenant/name`, or of a name alone.
pub(crate) fn tenant_and_name(text: &str) -> (TenantId, &str) {
    text.split_once('/').map_or_else(|| (TenantId::default(), text), |(tenant, name)| (tenant.into(), name))
}

/// Prints the runs that were started.
pub(crate) fn print_started(
    outcome: Option<RequestOutcome>,
    timeout: Duration,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let done = outcome.is_some();
    let RequestOutcome { started, found, not_started } = outcome.unwrap_or_default();
    let runs: Vec<RunId> = started.iter().chain(&found).copied().collect();
    let document = json!({ "runs": runs, "found": found, "not_started": not_started, "done": done });
    printer.print(&document, || {
        let mut lines: Vec<String> = started.iter().map(|run| format!("started run {run}\n")).collect();
        lines.extend(found.iter().map(|run| format!("found run {run}, which has this key\n")));
        lines.extend(not_started.iter().map(|why| format!("not started: {why}\n")));
        match lines.as_slice() {
            [] if done => "nothing was started\n".to_owned(),
            [] if timeout.is_zero() => {
                "recorded; no host runs on this database, and the next one starts it\n".to_owned()
            }
            [] => "recorded; the host has not answered yet, and will start it\n".to_owned(),
            lines => lines.concat(),
        }
    })?;
    Ok(if not_started.is_empty() { ExitStatus::Done } else { ExitStatus::Failed })
}
