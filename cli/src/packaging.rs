//! A crate to a package file: cargo with what the crate does not say itself, then the archive.

use crate::error::CliError;
use anyhow::Context;
use cargo_metadata::{CrateType, Message, MetadataCommand, Package, TargetKind};
use longshore_package::{
    Digest, Isolation, Limits, Manifest, PackageName, PackageSection, StaticRecord, host_target, pack,
    target_path,
};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Crates of ours that a package depends on, with the feature each needs.
const OURS: [&str; 2] = ["longshore", "longshore-workflow"];

/// A package file that was made.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) file: PathBuf,
    pub(crate) name: PackageName,
    pub(crate) version: String,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// Options of a build.
#[derive(Debug, Default)]
pub(crate) struct BuildOptions {
    pub(crate) release: bool,
    pub(crate) target: Option<String>,
    pub(crate) out: Option<PathBuf>,
}

/// True when a path is a crate: a folder with a Cargo.toml, or that file.
pub(crate) fn is_crate(path: &Path) -> bool {
    path.join("Cargo.toml").is_file() || path.file_name().is_some_and(|name| name == "Cargo.toml")
}

/// Builds the crate in a folder into a package file.
pub(crate) fn build(path: &Path, options: &BuildOptions) -> anyhow::Result<Built> {
    let manifest_path = if path.is_dir() { path.join("Cargo.toml") } else { path.to_owned() };
    if !manifest_path.is_file() {
        return Err(CliError::NotACrate { path: path.to_owned() }.into());
    }
    let metadata = MetadataCommand::new()
        .manifest_path(&manifest_path)
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    let wanted = manifest_path.canonicalize()?;
    let package = metadata
        .packages
        .iter()
        .find(|p| p.manifest_path.as_std_path() == wanted)
        .ok_or(CliError::NotACrate { path: path.to_owned() })?;
    check_metadata(package)?;
    check_leftovers(package)?;
    let library = compile(package, &manifest_path, options)?;
    let bytes = std::fs::read(&library).with_context(|| format!("cannot read {}", library.display()))?;
    let record = StaticRecord::of_library(&bytes).map_err(|error| match error {
        longshore_package::Error::NoRecord => {
            anyhow::Error::from(CliError::NoPackageCall { name: package.name.to_string() })
        }
        other => other.into(),
    })?;
    let folder = options.out.clone().unwrap_or_else(|| metadata.target_directory.join("longshore").into());
    archive(package, &record, &library, bytes, options, &folder)
}

fn compile(package: &Package, manifest_path: &Path, options: &BuildOptions) -> anyhow::Result<PathBuf> {
    let name = package.name.to_string();
    let is_library = |kinds: &[TargetKind]| {
        kinds
            .iter()
            .any(|k| matches!(k, TargetKind::Lib | TargetKind::CDyLib | TargetKind::RLib | TargetKind::DyLib))
    };
    if !package.targets.iter().any(|t| is_library(&t.kind)) {
        return Err(CliError::NoLibrary { name }.into());
    }
    let mut cargo = cargo(package, manifest_path, options)?;
    let mut child =
        cargo.stdout(Stdio::piped()).spawn().map_err(|source| CliError::CargoMissing { source })?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let mut library = None;
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.package_id == package.id
            && artifact.target.crate_types.contains(&CrateType::CDyLib)
        {
            let suffix = if options.target.as_deref().is_some_and(|t| t.contains("windows")) {
                "dll"
            } else {
                std::env::consts::DLL_EXTENSION
            };
            library = artifact.filenames.into_iter().find(|f| f.extension() == Some(suffix)).or(library);
        }
    }
    if !child.wait()?.success() {
        return Err(CliError::CargoFailed { name }.into());
    }
    library.map(Into::into).ok_or_else(|| CliError::NoArtifact { name }.into())
}

/// The cargo command: crate type, feature, linker arguments and stamps, as far as the crate lacks them.
fn cargo(package: &Package, manifest_path: &Path, options: &BuildOptions) -> anyhow::Result<Command> {
    let ours = package
        .dependencies
        .iter()
        .find(|d| OURS.contains(&d.name.as_str()) && d.kind == cargo_metadata::DependencyKind::Normal);
    let Some(ours) = ours else {
        return Err(CliError::NoDependency { name: package.name.to_string() }.into());
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["rustc", "--lib", "--crate-type", "cdylib", "--message-format", "json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(manifest_path).arg("--package").arg(package.name.as_str());
    if options.release {
        cargo.arg("--release");
    }
    if let Some(target) = &options.target {
        cargo.args(["--target", target]);
    }
    let has_feature = package.features.contains_key("packaged");
    if has_feature {
        cargo.args(["--features", "packaged"]);
    } else {
        let dependency = ours.rename.as_ref().unwrap_or(&ours.name);
        cargo.arg("--features").arg(format!("{dependency}/packaged"));
    }
    let mut rustc: Vec<String> = Vec::new();
    if !has_feature {
        rustc.extend(["--cfg".into(), "feature=\"packaged\"".into()]);
        rustc.extend(["--check-cfg".into(), "cfg(feature, values(\"packaged\"))".into()]);
    }
    let configured = package.dependencies.iter().any(|d| d.name == "longshore-build");
    let target = options.target.clone().unwrap_or_else(host_target);
    if !configured || !package.targets.iter().any(|t| t.crate_types.contains(&CrateType::CDyLib)) {
        let arguments = longshore_build::linker_arguments(&target);
        rustc.extend(arguments.iter().flat_map(|a| ["-C".into(), format!("link-arg={a}")]));
    }
    if !configured {
        let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let profile = if options.release { "release" } else { "debug" };
        cargo.envs(longshore_build::stamps(&target, &compiler, profile, &["packaged".into()]));
    }
    if !rustc.is_empty() {
        cargo.arg("--").args(rustc);
    }
    Ok(cargo)
}

fn archive(
    package: &Package,
    record: &StaticRecord,
    library: &Path,
    bytes: Vec<u8>,
    options: &BuildOptions,
    folder: &Path,
) -> anyhow::Result<Built> {
    let manifest = manifest(package, record)?;
    let file_name = library.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let target = options.target.clone().unwrap_or_else(host_target);
    let (digest, archive) = pack(&manifest, &[(target_path(&target, &file_name), bytes)])?;
    let PackageSection { name, version, .. } = manifest.package;
    let file = folder.join(format!("{name}-{version}.longshore"));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        // A host that watches this folder sees the old file or the new one, never a part.
        let temporary = folder.join(format!(".{name}-{version}.{}", std::process::id()));
        std::fs::write(&temporary, &archive)?;
        std::fs::rename(&temporary, &file)
    };
    write().map_err(|source| longshore_package::Error::Write { path: file.clone(), source })?;
    Ok(Built { file, name, version, digest, bytes: archive.len() as u64 })
}

/// A key of `[package.metadata.longshore]`.
fn stated<T: Default + serde::de::DeserializeOwned>(package: &Package, pointer: &str) -> anyhow::Result<T> {
    match package.metadata.pointer(pointer) {
        None => Ok(T::default()),
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|error| CliError::Metadata { message: error.to_string() }.into()),
    }
}

/// Refuses a `package.toml` beside Cargo.toml, from which other engines read what here stands in Cargo.toml.
fn check_leftovers(package: &Package) -> anyhow::Result<()> {
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
fn check_metadata(package: &Package) -> anyhow::Result<()> {
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

fn manifest(package: &Package, record: &StaticRecord) -> anyhow::Result<Manifest> {
    let (limits, isolation): (Limits, Isolation) =
        (stated(package, "/longshore/limits")?, stated(package, "/longshore/isolation")?);
    let manifest = Manifest {
        package: PackageSection {
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
