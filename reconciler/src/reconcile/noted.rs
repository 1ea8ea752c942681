//! Subjects with conditions in the database, remembered from pass to pass.

use longshore_store::{ConditionRow, Subject};
use std::collections::HashSet;
use std::path::PathBuf;

/// Subjects that have conditions, as far as this host knows.
pub(super) struct Noted {
    pub(super) packages: HashSet<String>,
    pub(super) files: HashSet<String>,
    /// The scan, and the superseded files, that `files` is of.
    pub(super) seen: Option<(u64, HashSet<PathBuf>)>,
}

impl Noted {
    pub(super) fn of(conditions: Vec<ConditionRow>) -> Self {
        let subjects = conditions.into_iter().map(|condition| condition.subject);
        let (files, packages) = subjects.partition(|subject| Subject::is_file(subject));
        Self { packages, files, seen: None }
    }
}
