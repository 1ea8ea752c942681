//! Packages with their generations, overrides and problems.

use longshore_package::PackageName;
use longshore_store::{ConditionKind, ConditionRow, ConditionStatus, GenerationRow, GenerationState};

/// The state of a package: active as long as one of its generations is, else that of the newest.
pub(crate) fn state_of(generations: &[GenerationRow], package: &PackageName) -> Option<GenerationState> {
    let mut own = generations.iter().filter(|g| g.package == *package).map(|g| g.state);
    let newest = own.clone().next();
    own.find(|state| *state == GenerationState::Active).or(newest)
}

/// Whether a condition reports a problem.
pub(crate) fn is_problem(condition: &ConditionRow) -> bool {
    let holds = condition.status == ConditionStatus::True;
    match condition.kind {
        ConditionKind::Accepted => !holds,
        ConditionKind::Degraded | ConditionKind::Quarantined => holds,
        ConditionKind::Loaded | ConditionKind::Ready => false,
    }
}
