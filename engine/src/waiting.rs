//! Open runs of an embedded program whose workflows it does not have any more.

use crate::embedded::is_embedded;
use crate::model::catalog::Catalog;
use longshore_store::{
    ConditionKind, ConditionRow, ConditionStatus, Digest, Error as StoreError, NewCondition, PassInputs,
    Store, Subject,
};

/// The code of runs that wait for a definition.
const WAITING: &str = "LS0610";

/// Sets a condition for every digest of an embedded program that open runs are pinned to and this program does not
/// have: they wait for a version that has it. Conditions of digests that nobody waits for any more are cleared.
///
/// # Errors
/// [`StoreError`] of the database.
pub async fn note_waiting_runs(store: &Store, catalog: &Catalog, now: i64) -> Result<(), StoreError> {
    let pins = PassInputs::load(store).await?.pins;
    let is_waited_for = |digest: &Digest| is_embedded(digest) && !catalog.digests.contains(digest);
    let waiting = pins.iter().filter(|(digest, _)| is_waited_for(digest));
    let conditions: Vec<NewCondition<'_>> = waiting.map(|(digest, runs)| condition(digest, *runs)).collect();
    for condition in &conditions {
        tracing::warn!(digest = condition.digest, code = WAITING, "{}", condition.message);
    }
    let recorded = ConditionRow::all(store).await?;
    let mut tx = store.begin().await?;
    for condition in recorded.iter().filter(|condition| condition.reason == WAITING) {
        if let Some(digest) = Digest::parse(&condition.digest) {
            ConditionRow::clear(&mut tx, Subject::Digest(&digest)).await?;
        }
    }
    NewCondition::set(&mut tx, &conditions, now).await?;
    store.commit(tx).await
}

fn condition(digest: &Digest, runs: u64) -> NewCondition<'_> {
    let message = format!(
        "{runs} open runs wait for a workflow that this program does not have: its tasks, or what they wait for, \
         were changed; start the version that has it, or cancel them"
    );
    NewCondition {
        subject: Subject::Digest(digest),
        kind: ConditionKind::Degraded,
        status: ConditionStatus::True,
        reason: WAITING,
        message,
        digest: digest.as_str(),
    }
}
