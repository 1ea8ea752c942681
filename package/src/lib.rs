//! Packages as files, read without running a line of them.
//!
//! - [`Archive`]: the `.longshore` file, read under [`ArchiveLimits`], written deterministically.
//! - [`Manifest`], the file `package.toml`.
//! - [`Digest`]: the name of a package everywhere.
//! - [`StaticRecord`]: what the macros left in the library's `.longshore` section.
//! - [`check_compatibility`]: whether this host can call the library, and which field drifted if not.
//! - [`trust`]: signatures of a package, and the policy that judges them.
//! - [`Declared`]: the entries of a package in one comparable form, from the record or from the live library.

mod archive;
mod archive_directory;
mod compatibility;
mod declared;
mod diff;
mod digest;
mod error;
mod join;
mod manifest;
mod plain_file;
mod record;
mod section;
mod signed;
mod sums;
pub mod trust;

pub use archive::{Archive, ArchiveLimits, MANIFEST_PATH, PackedLibrary, pack};
pub use compatibility::{Compatibility, Drift, HostAbi, Policy, check as check_compatibility, check_on};
pub use declared::{Declared, DeclaredEntry, LiveEntries};
pub use diff::{
    Breaks, Change, ChangeKind, Comparison, FieldChange, Step, compare, diff, is_enough, next_version,
};
pub use digest::{digest_of_files, sha256_hex};
pub use error::Error;
pub use join::{Build, SharedFiles, join};
pub use longshore_workflow::names::{Digest, PackageName};
pub use longshore_workflow_plugin::INTERFACE_VERSION;
pub use manifest::{Isolation, Limits, Manifest, OnUpgrade, PackageSection, is_package_name};
pub use plain_file::{read_text, sha256_of_file};
pub use record::{
    AccumulatorRecord, GraphRecord, PackageRecord, ReactorRecord, StaticRecord, TaskRecord, TriggerRecord,
    WorkflowRecord,
};
pub use section::{is_never_unmapped, read_section};
pub use signed::{check_count as check_signature_count, with_signatures};
pub use sums::{ASSETS, SUMS_PATH, Sums, target_path};

/// The target triple this program was compiled for, as far as std tells it.
pub fn host_target() -> String {
    let arch = std::env::consts::ARCH;
    match std::env::consts::OS {
        "linux" if cfg!(target_env = "musl") => format!("{arch}-unknown-linux-musl"),
        "linux" => format!("{arch}-unknown-linux-gnu"),
        "macos" => format!("{arch}-apple-darwin"),
        "windows" if cfg!(target_env = "gnu") => format!("{arch}-pc-windows-gnu"),
        "windows" => format!("{arch}-pc-windows-msvc"),
        other => format!("{arch}-unknown-{other}"),
    }
}
