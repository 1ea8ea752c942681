//! What a crate says about itself in Cargo.toml, and the manifest of its package.

use crate::error::CliError;
use cargo_metadata::Package;
use longshore_package::{Isolation, Limits, Manifest, PackageSection, StaticRecord};

/// A key of `[package.metadata.longshore]`.
fn stated<T: Default + serde::de::DeserializeOwned>(package: &Package, pointer: &str) -> anyhow::Result<T> {
    match package.metadata.pointer(pointer) {
        None => Ok(T::default()),
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|error| CliError::Metadata { message: error.to_string() }.into()),
    }
}

/// Refuses a `package.toml` beside Cargo.toml, from which other engines read what here stands in Cargo.toml.
pub(super) fn check_leftovers(package: &Package) -> anyhow::Result<()> {
    let file = package.manifest_path.with_file_name("package.toml");
    if !file.exists() {
        return Ok(());
    }
    let message = format!(
        "{file} is not read: name, version and description come from Cargo.toml, workflows from the code, isolation and \
         limits from [package.metadata.longshore]; move what it says there and remove it"
    );
    Err(CliError::Metadata { message }.into())
}

/// The keys of `[package.metadata.longshore]`.
const METADATA_KEYS: [&str; 3] = ["isolation", "limits", "on_upgrade"];

/// Refuses keys that mean nothing: a limit or an isolation that is misspelt would be lost.
pub(super) fn check_metadata(package: &Package) -> anyhow::Result<()> {
    let Some(stated) = package.metadata.get("longshore") else { return Ok(()) };
    let Some(table) = stated.as_object() else {
        return Err(CliError::Metadata { message: "it is not a table".to_owned() }.into());
    };
    match table.keys().find(|key| !METADATA_KEYS.contains(&key.as_str())) {
        Some(key) => {
            let message = format!("unknown key `{key}`; there are {}", METADATA_KEYS.join(", "));
            Err(CliError::Metadata { message }.into())
        }
        None => Ok(()),
    }
}

/// The manifest of a crate's package.
pub(super) fn manifest(package: &Package, record: &StaticRecord) -> anyhow::Result<Manifest> {
    let (limits, isolation): (Limits, Isolation) =
        (stated(package, "/longshore/limits")?, stated(package, "/longshore/isolation")?);
    let manifest = Manifest {
        package: PackageSection {
            content: None,
            name: record.package.name.as_str().into(),
            version: record.package.version.clone(),
            description: package.description.clone().unwrap_or_default(),
            authors: package.authors.clone(),
            license: package.license.clone().unwrap_or_default(),
            sdk: record.package.sdk.clone(),
            interface: record.package.interface_version,
            isolation,
        },
        limits,
        on_upgrade: stated(package, "/longshore/on_upgrade")?,
    };
    // What we write must read: the same checks as for a stranger's.
    Ok(Manifest::parse(&manifest.to_toml())?)
}
