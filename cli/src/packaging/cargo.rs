//! Cargo, with what a crate does not say itself.

use super::settings::Settings;
use super::toolchain::{RUSTUP_TOOLCHAIN, Toolchain, cargo, for_target, linker_variable};
use crate::error::CliError;
use crate::stdio::stderr_of_child;
use anyhow::Context;
use cargo_metadata::{Artifact, CrateType, Dependency, DependencyKind, Message, Package, TargetKind};
use longshore_package::{host_target, sha256_hex};
use std::ffi::OsString;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Crates of ours that a package depends on, with the feature each needs.
const OURS: [&str; 2] = ["longshore", "longshore-workflow"];

/// A library that was built.
pub(super) struct Library {
    pub(super) file: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// The triple it was built for.
    pub(super) target: String,
}

/// Refuses a crate that can be no package: it has no library, or does not know us.
pub(super) fn check_crate(package: &Package) -> Result<(), CliError> {
    let name = package.name.to_string();
    let is_library = |kind: &TargetKind| {
        matches!(kind, TargetKind::Lib | TargetKind::CDyLib | TargetKind::RLib | TargetKind::DyLib)
    };
    if !package.targets.iter().any(|target| target.kind.iter().any(is_library)) {
        return Err(CliError::NoLibrary { name });
    }
    our_dependency(package).map(drop)
}

/// The crate of ours that a package depends on.
fn our_dependency(package: &Package) -> Result<&Dependency, CliError> {
    let is_ours = |d: &&Dependency| OURS.contains(&d.name.as_str()) && d.kind == DependencyKind::Normal;
    let ours = package.dependencies.iter().find(is_ours);
    ours.ok_or_else(|| CliError::NoDependency { name: package.name.to_string() })
}

/// The target that a build is for: that which is named, here or in the environment, and whether one is.
pub(super) fn target_of(named: Option<&str>) -> (String, bool) {
    let named = named
        .map(str::to_owned)
        .or_else(|| std::env::var("CARGO_BUILD_TARGET").ok().filter(|t| !t.is_empty()));
    let is_named = named.is_some();
    (named.unwrap_or_else(host_target), is_named)
}

/// A build of a crate.
#[derive(Clone, Copy)]
pub(super) struct Build<'p> {
    pub(super) package: &'p Package,
    pub(super) target_directory: &'p Path,
    pub(super) release: bool,
    pub(super) settings: &'p Settings,
    /// True when cargo shows its commands.
    pub(super) verbose: bool,
}

impl Build<'_> {
    /// Builds the library of the crate.
    pub(super) fn compile(&self, target: Option<&str>) -> anyhow::Result<Library> {
        let (assumed, is_named) = target_of(target);
        let library = self.library(&assumed, is_named)?;
        // A configuration of cargo may name a target too: cargo has put the library below its name.
        match self.target_of(&library.file) {
            Some(target) if target != assumed => self.library(&target, true),
            _ => Ok(library),
        }
    }

    /// The compiler of the crate.
    pub(super) fn toolchain(&self) -> Toolchain<'_> {
        let folder =
            self.package.manifest_path.parent().map_or(Path::new("."), |folder| folder.as_std_path());
        Toolchain { folder, name: self.settings.toolchain.as_deref() }
    }

    /// The library, surely of this crate: several crates of one name may share a target folder, in which cargo gives them
    /// one file and takes it for theirs all.
    fn library(&self, target: &str, is_named: bool) -> anyhow::Result<Library> {
        let (file, is_fresh) = self.run(target, is_named)?;
        let library = self.read(file, target)?;
        let stamp = self.stamp(target);
        if is_fresh && !std::fs::read_to_string(&stamp).is_ok_and(|sum| sum == sha256_hex(&library.bytes)) {
            self.clean(target, is_named)?;
            let (file, _) = self.run(target, is_named)?;
            let library = self.read(file, target)?;
            self.write_stamp(&stamp, &library)?;
            return Ok(library);
        }
        self.write_stamp(&stamp, &library)?;
        Ok(library)
    }

    fn read(&self, file: PathBuf, target: &str) -> anyhow::Result<Library> {
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Library { file, bytes, target: target.to_owned() })
    }

    /// The file that says what was built last of this crate.
    fn stamp(&self, target: &str) -> PathBuf {
        let what = format!("{}\0{target}\0{}", self.package.manifest_path, self.release);
        self.target_directory.join("longshore").join(".built").join(sha256_hex(what.as_bytes()))
    }

    fn write_stamp(&self, stamp: &Path, library: &Library) -> anyhow::Result<()> {
        let made = stamp.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = made.and_then(|()| std::fs::write(stamp, sha256_hex(&library.bytes)));
        written.with_context(|| format!("cannot write {}", stamp.display()))
    }

    /// The triple below whose name a library stands; none when cargo was told no target.
    fn target_of(&self, library: &Path) -> Option<String> {
        let below = library.strip_prefix(self.target_directory).ok()?;
        let parts: Vec<_> = below.components().collect();
        (parts.len() > 2).then(|| parts[0].as_os_str().to_string_lossy().into_owned())
    }

    /// Runs cargo. Returns the library, and whether cargo found it as it is.
    fn run(&self, target: &str, is_named: bool) -> anyhow::Result<(PathBuf, bool)> {
        let name = self.package.name.to_string();
        let mut cargo = self.command(target, is_named)?;
        cargo.stdout(Stdio::piped()).stderr(stderr_of_child());
        let mut child = cargo.spawn().map_err(|source| CliError::CargoMissing { source })?;
        let stdout = child.stdout.take().context("cargo has no output")?;
        let ending = if target.contains("windows") { "dll" } else { std::env::consts::DLL_EXTENSION };
        let is_ours = |artifact: &Artifact| {
            artifact.package_id == self.package.id && artifact.target.crate_types.contains(&CrateType::CDyLib)
        };
        let mut library = None;
        for message in Message::parse_stream(BufReader::new(stdout)) {
            if let Message::CompilerArtifact(artifact) = message?
                && is_ours(&artifact)
            {
                let file = artifact.filenames.iter().find(|file| file.extension() == Some(ending));
                library = file.map(|file| (file.clone().into_std_path_buf(), artifact.fresh)).or(library);
            }
        }
        if !child.wait()?.success() {
            return Err(CliError::CargoFailed { name }.into());
        }
        library.ok_or_else(|| CliError::NoArtifact { name }.into())
    }

    /// The cargo command: crate type, feature, linker arguments and stamps, as far as the crate lacks them.
    fn command(&self, target: &str, is_named: bool) -> anyhow::Result<Command> {
        let package = self.package;
        let ours = our_dependency(package)?;
        let mut cargo = self.cargo("rustc", target, is_named)?;
        cargo.args(self.settings.flags(self.release, target));
        if self.verbose {
            cargo.arg("--verbose");
        }
        cargo.args(["--lib", "--crate-type", "cdylib", "--message-format", "json-render-diagnostics"]);
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
        if !configured || !package.targets.iter().any(|t| t.crate_types.contains(&CrateType::CDyLib)) {
            let arguments = longshore_build::linker_arguments(target);
            rustc.extend(arguments.iter().flat_map(|a| ["-C".into(), format!("link-arg={a}")]));
        }
        if !configured {
            let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
            let profile = if self.release { "release" } else { "debug" };
            cargo.envs(longshore_build::stamps(target, &compiler, profile, &["packaged".into()]));
        }
        if !rustc.is_empty() {
            cargo.arg("--").args(rustc);
        }
        Ok(cargo)
    }

    /// Lets cargo forget what it built of this crate.
    fn clean(&self, target: &str, is_named: bool) -> anyhow::Result<()> {
        let cleaned = self.cargo("clean", target, is_named)?.stderr(Stdio::null()).status();
        let status = cleaned.map_err(|source| CliError::CargoMissing { source })?;
        if status.success() {
            Ok(())
        } else {
            Err(CliError::CargoFailed { name: self.package.name.to_string() }.into())
        }
    }

    /// Cargo in the folder of the crate, where it reads its configuration.
    fn cargo(&self, command: &str, target: &str, is_named: bool) -> anyhow::Result<Command> {
        let manifest = &self.package.manifest_path;
        let mut cargo = Command::new(cargo()?);
        cargo
            .arg(command)
            .arg("--manifest-path")
            .arg(manifest)
            .arg("--package")
            .arg(self.package.id.to_string());
        let toolchain = self.toolchain();
        cargo.current_dir(toolchain.folder).envs(toolchain.name.map(|name| (RUSTUP_TOOLCHAIN, name)));
        if let Some(folder) = absolute_target_folder() {
            cargo.env("CARGO_TARGET_DIR", folder);
        }
        if self.release {
            cargo.arg("--release");
        }
        if is_named {
            cargo.args(["--target", target]);
            match self.settings.linker(self.release, target) {
                Some(linker) => cargo.env(linker_variable(target), linker),
                None => cargo.envs(for_target(toolchain, target)?),
            };
        }
        Ok(cargo)
    }
}

/// The target folder of the environment: cargo is started elsewhere.
pub(super) fn absolute_target_folder() -> Option<OsString> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty())?;
    Some(std::path::absolute(folder).ok()?.into_os_string())
}
