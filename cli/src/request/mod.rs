//! Requests to the host of a database, and its answers.

pub(crate) mod decision;
pub(crate) mod given;

use crate::error::CliError;
use crate::home::now_ms;
use crate::output::{ExitStatus, Printer};
use crate::request::decision::Decision;
use longshore_engine::Given;
use longshore_store::{NewRequest, RequestAnswer, RequestKind, RequestRow, RunId, Store, TenantId};
use serde_json::json;
use std::time::{Duration, Instant};

/// The time the host's answer is waited for.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The interval at which an answer is looked for.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Asks the host to start something. Returns the runs, none when it has not answered in time: it still will.
pub(crate) async fn ask(
    store: &Store,
    (kind, tenant, name): (RequestKind, TenantId, &str),
    given: &Given,
    decision: &Decision,
    patience: Option<Duration>,
) -> anyhow::Result<Option<Vec<RunId>>> {
    let payload = serde_json::to_string(given)?;
    let (name, Decision { actor, reason }) = (name.to_owned(), decision.clone());
    let request = NewRequest { kind, tenant, name, payload, actor, reason };
    let id = request.insert(store, now_ms()).await?;
    let began = Instant::now();
    loop {
        match RequestRow::answer(store, &id).await? {
            RequestAnswer::Started { runs } => return Ok(Some(runs)),
            RequestAnswer::Refused { code, message, fix } => {
                return Err(CliError::Refused { code, message, fix }.into());
            }
            RequestAnswer::Waiting if patience.is_some_and(|patience| began.elapsed() > patience) => {
                return Ok(None);
            }
            RequestAnswer::Waiting => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// The time to wait for an answer: none when no host runs that could give one.
pub(crate) async fn patience(store: &Store) -> anyhow::Result<Duration> {
    Ok(if store.has_host(now_ms()).await? { ANSWER_TIMEOUT } else { Duration::ZERO })
}

/// Prints the runs that were started.
pub(crate) fn print_started(
    runs: Option<&[RunId]>,
    patience: Duration,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    printer.print(&json!({ "runs": runs.unwrap_or_default(), "done": runs.is_some() }), || match runs {
        Some([]) => "nothing was started\n".to_owned(),
        Some(runs) => runs.iter().map(|run| format!("started run {run}\n")).collect(),
        None if patience.is_zero() => {
            "recorded; no host runs on this database, and the next one starts it\n".to_owned()
        }
        None => "recorded; the host has not answered yet, and will start it\n".to_owned(),
    })?;
    Ok(ExitStatus::Done)
}
