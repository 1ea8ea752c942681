//! Builds of crates that a test makes: they share one target folder and what they depend on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The target folder of all throwaway crates.
pub fn throwaway_target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("throwaway")
}

/// The environment of a build of a throwaway crate. One profile, whatever its manifest says of debug information: a
/// dependency is built once for all of them.
pub fn throwaway_build() -> [(&'static str, OsString); 3] {
    [
        ("CARGO_TARGET_DIR", throwaway_target().into()),
        ("CARGO_PROFILE_DEV_DEBUG", "false".into()),
        ("CARGO_INCREMENTAL", "0".into()),
    ]
}
