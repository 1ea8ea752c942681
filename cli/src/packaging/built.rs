//! A package file that was made or taken.

use longshore_package::{Digest, PackageName};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A package file that was made.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) file: PathBuf,
    pub(crate) name: PackageName,
    pub(crate) version: String,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

impl Built {
    /// As JSON.
    pub(crate) fn document(&self) -> Value {
        let Self { file, name, version, digest, bytes } = self;
        json!({ "file": file, "name": name, "version": version, "digest": digest, "bytes": bytes })
    }

    /// Its name and its file.
    pub(crate) fn text(&self) -> String {
        let Self { file, name, version, digest, .. } = self;
        format!("{name} {version} ({})\n{}\n", digest.short(), file.display())
    }
}

/// The file of a package in a folder; the file itself when one is named.
pub(super) fn place_of(out: &Path, name: &PackageName, version: &str) -> PathBuf {
    if out.extension().is_some_and(|ending| ending == "longshore") && !out.is_dir() {
        return out.to_owned();
    }
    out.join(format!("{name}-{version}.longshore"))
}
