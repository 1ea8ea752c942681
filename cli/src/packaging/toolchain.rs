//! The tools that build a crate: cargo, and what a build for another machine needs beside it.

use crate::build_error::BuildError;
use crate::error::CliError;
use longshore_engine::suggestion;
use std::env::consts::EXE_SUFFIX;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names the program of cargo, as cargo itself does for what it starts.
const CARGO: &str = "CARGO";

/// The folder below a home in which rustup puts cargo, when no `PATH` leads there.
const OF_USER: &str = ".cargo/bin";

/// Folders of a whole machine in which others put it.
const OF_MACHINE: [&str; 4] =
    ["/usr/local/cargo/bin", "/usr/lib/rustup/bin", "/opt/homebrew/bin", "/usr/local/bin"];

/// The program of cargo: the one that the environment names, or the first on the `PATH`, or one in a usual place.
pub(crate) fn cargo() -> Result<PathBuf, CliError> {
    if let Some(named) = std::env::var_os(CARGO).filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"));
    let of_cargo = std::env::var_os("CARGO_HOME").map(|home| PathBuf::from(home).join("bin"));
    let of_user = home.map(|home| Path::new(&home).join(OF_USER));
    let folders: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(of_cargo)
        .chain(of_user)
        .chain(OF_MACHINE.map(PathBuf::from))
        .collect();
    find(&folders, "cargo").ok_or(CliError::NoCargo { looked_in: folders })
}

/// The tools of a build.
pub(crate) struct Tools {
    pub(crate) cargo: PathBuf,
    /// Other programs of that name that come later on the `PATH`, and are another file.
    pub(crate) shadowed: Vec<PathBuf>,
    /// The compiler's version in one line.
    pub(crate) compiler: Option<String>,
    /// The linker of this machine, when it is not there.
    pub(crate) missing_linker: Option<&'static str>,
}

/// The tools that a build in a folder uses.
pub(crate) fn tools(folder: &Path) -> anyhow::Result<Tools> {
    let cargo = cargo()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let real = |file: &Path| file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut shadowed: Vec<PathBuf> = folders.iter().map(|folder| folder.join("cargo")).collect();
    shadowed.retain(|file| file.is_file() && real(file) != real(&cargo));
    let said = compiler(Toolchain { folder, name: None });
    let compiler = said.and_then(|said| said.lines().next().map(str::to_owned));
    let missing_linker = (cfg!(unix) && find(&folders, "cc").is_none()).then_some("cc");
    Ok(Tools { cargo, shadowed, compiler, missing_linker })
}

/// A program in the first of these folders that has it.
fn find(folders: &[PathBuf], program: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(format!("{program}{EXE_SUFFIX}"))).find(|file| file.is_file())
}

/// Names the toolchain, for rustup.
pub(super) const RUSTUP_TOOLCHAIN: &str = "RUSTUP_TOOLCHAIN";

/// The compiler of a crate: in its folder, where rust-toolchain.toml counts, and of the toolchain that its settings name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Toolchain<'a> {
    pub(super) folder: &'a Path,
    pub(super) name: Option<&'a str>,
}

/// Refuses a toolchain by name where there is no rustup to provide it.
pub(super) fn check_toolchain(name: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = name else { return Ok(()) };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = cargo()?.parent().map(Path::to_path_buf);
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(beside).collect();
    let found = find(&folders, "rustup").map(drop);
    found.ok_or_else(|| BuildError::NoRustup { toolchain: name.to_owned() }.into())
}

/// Checks that a crate can be built for a target: its triple is known, its standard library is there. Returns the variables by
/// which cargo finds the linker, when it has to be told.
pub(super) fn for_target(
    toolchain: Toolchain<'_>,
    target: &str,
) -> Result<Vec<(String, OsString)>, CliError> {
    let Some(known) = rustc(toolchain, &["--print", "target-list"]) else { return Ok(Vec::new()) };
    if !known.lines().any(|line| line == target) {
        // The path of a file describes a target of the author's own.
        if Path::new(target).extension().is_some_and(|ending| ending == "json") {
            return Ok(Vec::new());
        }
        let known: Vec<String> = known.lines().map(str::to_owned).collect();
        let hint = suggestion(target, &known);
        return Err(CliError::NoTarget { target: target.to_owned(), hint });
    }
    let libraries = rustc(toolchain, &["--print", "target-libdir", "--target", target]);
    if libraries.is_some_and(|libraries| !has_standard_library(Path::new(libraries.trim()))) {
        return Err(CliError::NoStandardLibrary { target: target.to_owned() });
    }
    linker(toolchain.folder, target)
}

/// The compiler's description of itself: version, commit, host.
pub(super) fn compiler(toolchain: Toolchain<'_>) -> Option<String> {
    rustc(toolchain, &["-vV"])
}

fn has_standard_library(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// The output of the crate's compiler; none when it does not start: cargo says why.
fn rustc(toolchain: Toolchain<'_>, arguments: &[&str]) -> Option<String> {
    let program =
        std::env::var_os("RUSTC").filter(|named| !named.is_empty()).unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(program);
    rustc.args(arguments).current_dir(toolchain.folder).stderr(Stdio::null());
    rustc.envs(toolchain.name.map(|name| (RUSTUP_TOOLCHAIN, name)));
    let output = rustc.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The variable that names the linker for a target, for cargo.
pub(super) fn linker_variable(target: &str) -> String {
    format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace(['-', '.'], "_"))
}

/// The variable that names the linker of another architecture's Linux, as Debian and others call it. None is needed on the own
/// architecture, or when a configuration of cargo names one.
fn linker(folder: &Path, target: &str) -> Result<Vec<(String, OsString)>, CliError> {
    let variable = linker_variable(target);
    let Some(program) = cross_linker(target) else { return Ok(Vec::new()) };
    if std::env::var_os(&variable).is_some() || is_configured(folder, target) {
        return Ok(Vec::new());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    match find(&std::env::split_paths(&path).collect::<Vec<_>>(), &program) {
        Some(found) => Ok(vec![(variable, found.into_os_string())]),
        None => Err(CliError::NoLinker { target: target.to_owned(), program, variable }),
    }
}

/// The linker that a target needs; none when the machine's own does.
fn cross_linker(target: &str) -> Option<String> {
    let (arch, rest) = target.split_once('-')?;
    let environment = rest.strip_prefix("unknown-linux-").filter(|_| cfg!(target_os = "linux"))?;
    if arch == std::env::consts::ARCH || !environment.starts_with("gnu") {
        return None;
    }
    let arch = match arch {
        "i586" | "i686" => "i686",
        "armv7" | "thumbv7neon" => "arm",
        other => other.strip_suffix("gc").unwrap_or(other),
    };
    Some(format!("{arch}-linux-{environment}-gcc"))
}

/// True when a configuration of cargo, in the folder of a crate, above it, or of the user, names a linker for a target.
fn is_configured(folder: &Path, target: &str) -> bool {
    let of_folders = folder.ancestors().map(|above| above.join(".cargo"));
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let files =
        of_folders.chain(home).flat_map(|folder| ["config.toml", "config"].map(|name| folder.join(name)));
    let names_linker = |file: PathBuf| {
        let text = std::fs::read_to_string(file).ok()?;
        let table: toml_edit::DocumentMut = text.parse().ok()?;
        table.get("target")?.get(target)?.get("linker").map(drop)
    };
    files.into_iter().any(|file| names_linker(file).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_linker_of_another_architecture_is_known_by_its_name() {
        let own = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        assert_eq!(cross_linker(&own), None);
        let name = |target| cross_linker(target).unwrap_or_default();
        assert_eq!(name("riscv64gc-unknown-linux-gnu"), "riscv64-linux-gnu-gcc");
        assert_eq!(name("armv7-unknown-linux-gnueabihf"), "arm-linux-gnueabihf-gcc");
        assert_eq!(cross_linker("x86_64-pc-windows-msvc"), None);
        assert_eq!(cross_linker("riscv64gc-unknown-linux-musl"), None);
    }

    #[test]
    fn a_linker_that_a_configuration_names_is_left_to_cargo() {
        let folder = tempfile::tempdir().expect("folder");
        let krate = folder.path().join("a/b");
        std::fs::create_dir_all(folder.path().join(".cargo")).expect("folder");
        std::fs::create_dir_all(&krate).expect("folder");
        assert!(!is_configured(&krate, "some-target"));
        let config = "[target.some-target]\nlinker = \"ld\"\n";
        std::fs::write(folder.path().join(".cargo/config.toml"), config).expect("writes");
        assert!(is_configured(&krate, "some-target") && !is_configured(&krate, "other-target"));
    }
}
