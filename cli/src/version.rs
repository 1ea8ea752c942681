//! The version of this command.

use longshore_package::INTERFACE_VERSION;

/// The version, and what it was built of and for.
pub(crate) fn version() -> String {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("LONGSHORE_COMMIT"));
    let (compiler, target) = (env!("LONGSHORE_RUSTC"), env!("LONGSHORE_TRIPLE"));
    format!(
        "longshore {version}\ncommit     {commit}\ncompiler   {compiler}\ntarget     {target}\ninterface  {INTERFACE_VERSION}\n"
    )
}
