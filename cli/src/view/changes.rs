//! The changes from one package to another.

use longshore_package::Change;
use std::fmt::Write;

/// Changes, one a line, with the fields that differ below.
pub(crate) fn text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "  every entry is the same\n".to_owned();
    }
    let mut out = String::new();
    for change in changes {
        // Writing to a String does not fail.
        let _ = writeln!(out, "  {change}");
        // `Breaks::ParamType` has named both types.
        for field in change.fields.iter().filter(|field| field.field != "type") {
            let _ = writeln!(out, "      {field}");
        }
    }
    out
}
