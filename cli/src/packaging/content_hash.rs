//! The content hash of a crate: whatever decides what comes out of a build. Two machines with the same hash would build the same.

use super::cargo::Build;
use super::settings::SETTINGS;
use super::toolchain::compiler;
use crate::build_error::BuildError;
use cargo_metadata::{Metadata, Package, PackageId};
use longshore_package::{Digest, sha256_of_file};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Counts changes of what is hashed, and how.
const FORMAT: &str = "longshore content 1";

/// Most files of a crate.
const MAX_FILES: usize = 100_000;

/// Stands in folders that programs fill and may empty again, such as cargo's `target`.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// Files above a crate that decide how it is built.
const ABOVE: [&str; 5] =
    ["Cargo.toml", "rust-toolchain.toml", "rust-toolchain", ".cargo/config.toml", ".cargo/config"];

/// The hash of a build: the sources of the crate and of the crates beside it that it depends on, lockfile, settings, profile,
/// toolchain and target.
pub(super) fn content_hash(
    metadata: &Metadata,
    build: Build<'_>,
    (target, flags): (&str, &[String]),
) -> anyhow::Result<Digest> {
    let (package, release) = (build.package, build.release);
    let root = metadata.workspace_root.as_std_path();
    let mut hasher = Sha256::new();
    let mut line = |parts: &[&str]| hasher.update(format!("{}\n", parts.join("\0")));
    line(&[FORMAT, env!("CARGO_PKG_VERSION"), if release { "release" } else { "dev" }, target]);
    line(&["compiler", &compiler(build.toolchain()).unwrap_or_default()]);
    line(&["flags", &flags.join("\0")]);
    for (label, file) in surroundings(folder_of(package), root) {
        line(&["file", &label, &sum(&file)?]);
    }
    for local in locals(metadata, package) {
        for (path, sum) in sources(folder_of(local))? {
            line(&["source", local.name.as_str(), &path, &sum]);
        }
    }
    Ok(Digest::from_sha256(hasher.finalize().into()))
}

fn folder_of(package: &Package) -> &Path {
    package.manifest_path.parent().map_or(Path::new("."), |folder| folder.as_std_path())
}

/// The lockfile, and what stands in the folders from the crate up to its workspace.
fn surroundings(folder: &Path, root: &Path) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::from([("Cargo.lock".to_owned(), root.join("Cargo.lock"))]);
    for (depth, above) in folder.ancestors().enumerate().take_while(|(_, above)| above.starts_with(root)) {
        let labelled = ABOVE.iter().map(|name| (format!("{depth}/{name}"), above.join(name)));
        files.extend(labelled.filter(|(_, file)| file.is_file()));
    }
    let settings = folder.join(SETTINGS);
    files.extend(settings.is_file().then(|| (SETTINGS.to_owned(), settings)));
    files
}

/// The crate and the crates that it depends on which come from no registry, by name.
fn locals<'m>(metadata: &'m Metadata, package: &Package) -> Vec<&'m Package> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let below: BTreeMap<&PackageId, &[PackageId]> =
        nodes.map(|node| (&node.id, node.dependencies.as_slice())).collect();
    let (mut reached, mut open) = (BTreeSet::new(), vec![&package.id]);
    while let Some(id) = open.pop() {
        if reached.insert(id) {
            open.extend(below.get(id).copied().unwrap_or_default());
        }
    }
    let mut locals: Vec<&Package> =
        metadata.packages.iter().filter(|one| one.source.is_none() && reached.contains(&one.id)).collect();
    locals.sort_by_key(|one| (one.name.to_string(), one.version.clone()));
    locals
}

/// The files of a crate with their sums, by path. What is hidden, what others may empty, and what was packed are not sources.
/// Links are followed, as the compiler follows them, and each folder is looked into once.
fn sources(root: &Path) -> Result<BTreeMap<String, String>, BuildError> {
    let (mut files, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| BuildError::Source { path: folder.clone(), source };
        if !seen.insert(folder.canonicalize().map_err(failed)?) {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !is_source(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let label = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.insert(label, sum(&path)?);
            if files.len() > MAX_FILES {
                let source = io::Error::other(format!("it has more than {MAX_FILES} files"));
                return Err(BuildError::Source { path: root.to_owned(), source });
            }
        }
    }
    Ok(files)
}

/// True of a file that a build may read, and of a folder that may have some. A crate in a crate has sources of its own.
fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_packed = || [".longshore", ".sig"].iter().any(|ending| name.ends_with(ending));
    let is_left_alone =
        || name == "target" || [CACHE_TAG, "Cargo.toml"].iter().any(|file| path.join(file).exists());
    !name.starts_with('.') && !(if path.is_dir() { is_left_alone() } else { is_packed() })
}

/// SHA-256 of a file, in hex; nothing of one that is not there.
fn sum(file: &Path) -> Result<String, BuildError> {
    match sha256_of_file(file) {
        Ok(sum) => Ok(sum.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(BuildError::Source { path: file.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_what_a_build_reads() {
        let folder = tempfile::tempdir().expect("folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("makes");
            std::fs::write(path, text).expect("writes");
        };
        for name in [
            "Cargo.toml",
            "src/lib.rs",
            "assets/a.txt",
            ".git/x",
            "target/debug/y",
            "out/CACHEDIR.TAG",
            "out/z",
            "p-0.1.0.longshore",
            "p-0.1.0.longshore.sig",
            "inner/Cargo.toml",
            "inner/src/lib.rs",
        ] {
            write(name, "x");
        }
        let paths = |files: BTreeMap<String, String>| files.into_keys().collect::<Vec<_>>();
        let before = sources(folder.path()).expect("reads");
        assert_eq!(paths(before.clone()), ["Cargo.toml", "assets/a.txt", "src/lib.rs"]);
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("src/loop")).expect("links");
        assert_eq!(sources(folder.path()).expect("reads"), before, "a link that leads back ends");
        write("src/lib.rs", "y");
        assert_ne!(sources(folder.path()).expect("reads"), before);
    }
}
