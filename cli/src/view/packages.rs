//! Packages with their generations.

use longshore_package::PackageName;
use longshore_store::{GenerationRow, GenerationState};

/// The state of a package: active as long as one of its generations is, else that of the newest.
pub(crate) fn state_of(generations: &[GenerationRow], package: &PackageName) -> Option<GenerationState> {
    let mut own = generations.iter().filter(|g| g.package == *package).map(|g| g.state);
    let newest = own.clone().next();
    own.find(|state| *state == GenerationState::Active).or(newest)
}
