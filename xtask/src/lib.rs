//! The project's own tasks: `cargo xtask`. Not published.

pub mod ci;
pub mod dist;
mod features;
pub mod pairs;
mod shell;
pub mod tidy;
mod workspace;

use std::path::Path;

/// Records anew what the tests of the macros compare with: expansions, and what the compiler says of mistakes.
///
/// # Errors
/// When a test fails for another reason.
pub fn bless(root: &Path) -> anyhow::Result<()> {
    let overwrite = [("INSTA_UPDATE", "always"), ("TRYBUILD", "overwrite")];
    shell::run(root, "cargo test -q -p longshore-macros", &overwrite)
}
