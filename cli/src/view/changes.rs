//! The changes from one package to another.

use longshore_package::Change;

/// Changes, one a line.
pub(crate) fn text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "  every entry is the same\n".to_owned();
    }
    changes.iter().map(|change| format!("  {change}\n")).collect()
}
