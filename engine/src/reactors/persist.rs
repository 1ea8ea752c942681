//! The records of reactors: state, dead letters, status.

use crate::error::Error;
use crate::handle::EngineHandle;
use crate::reactors::ingress::ReactorInput;
use crate::reactors::state::{DeadLetter, Payload};
use crate::sync::lock;
use longshore_store::{DeadLetter as DeadLetterRow, PositionRow, ReactorRow, StatusRow};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The interval at which a state is looked at that is in use.
const STATE_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Records dead letters, status, and the state of reactors whose inputs are not recorded. One whose events are being looked
/// at is waited for so long. Only one such call may go on at a time.
pub(crate) async fn record(
    engine: &EngineHandle,
    inputs: &[ReactorInput],
    grace: Duration,
) -> Result<(), Error> {
    let now = engine.now_ms();
    let (mut rows, mut positions) = (Vec::with_capacity(inputs.len()), Vec::new());
    for input in inputs.iter().filter(|input| input.sequential.is_none()) {
        let Some((row, of_reactor)) = state_within(input, grace).await else {
            // The next tick records it.
            input.reactor.touch();
            continue;
        };
        rows.push(row);
        positions.push((&input.reactor.record, of_reactor));
    }
    let mut tx = engine.store().begin().await?;
    ReactorRow::put(&mut tx, &rows, now).await?;
    for (record, positions) in positions {
        PositionRow::put(&mut tx, record, &positions).await?;
    }
    let mut statuses = Vec::with_capacity(inputs.len());
    let mut recorded = Vec::with_capacity(inputs.len());
    for input in inputs {
        let (name, record) = (&input.reactor.name, &input.reactor.record);
        let dead_letters: Vec<DeadLetterRow> =
            input.reactor.dead_letters().iter().map(|r| dead_letter_row(name, r, now)).collect();
        if !dead_letters.is_empty() {
            DeadLetterRow::insert(&mut tx, name, &dead_letters).await?;
        }
        recorded.push(dead_letters.len());
        if input.sequential.is_some() {
            ReactorRow::set_paused(&mut tx, record, input.reactor.is_paused(), now).await?;
        }
        let status = input.reactor.status();
        statuses.push(StatusRow {
            name: name.clone(),
            package: status.package.clone(),
            digest: status.digest.clone(),
            status: serde_json::to_string(&status).unwrap_or_default(),
            updated_at: now,
        });
    }
    StatusRow::put(&mut tx, &statuses).await?;
    engine.store().commit(tx).await?;
    for (input, count) in inputs.iter().zip(recorded) {
        input.reactor.dead_letters_recorded(count);
    }
    Ok(())
}

/// The state of a reactor in memory, with the positions up to which its streams are in that state. Within `grace` it is
/// waited for until no event waits; none when its values are in use after that.
async fn state_within(input: &ReactorInput, grace: Duration) -> Option<(ReactorRow, Vec<PositionRow>)> {
    let deadline = Instant::now() + grace;
    loop {
        let is_last = Instant::now() >= deadline;
        let found = if is_last || !input.reactor.is_busy() { state_now(input) } else { None };
        if found.is_some() || is_last {
            return found;
        }
        tokio::time::sleep(STATE_POLL_INTERVAL).await;
    }
}

/// The state as it is; none while somebody uses the values: a graph, or one who asks for the status.
fn state_now(input: &ReactorInput) -> Option<(ReactorRow, Vec<PositionRow>)> {
    // Before the state: what comes between the two is read again, and not lost.
    let positions = lock(&input.positions).clone();
    let state = input.reactor.state()?;
    let positions =
        positions.into_iter().map(|(stream, position)| PositionRow { stream, position }).collect();
    let paused = i64::from(input.reactor.is_paused());
    Some((ReactorRow { name: input.reactor.record.clone(), cursor: 0, paused, state }, positions))
}

fn dead_letter_row(reactor: &str, letter: &DeadLetter, now: i64) -> DeadLetterRow {
    let json = |event: &[u8]| {
        let value: Value = longshore_workflow::deserialize(event).unwrap_or_default();
        value.to_string()
    };
    let (payload, resendable) = match &letter.payload {
        Payload::Event(event) => (json(event), 1),
        Payload::Derived(value) => (json(value), 0),
        Payload::Batch => (String::new(), 0),
    };
    DeadLetterRow {
        id: letter.id,
        reactor: reactor.to_owned(),
        source: letter.source.clone(),
        position: letter.position.clone(),
        field: letter.failure.field.clone(),
        message: letter.failure.message.clone(),
        payload,
        resendable,
        tenant: None,
        workflow: None,
        dedup_key: None,
        at: now,
    }
}
