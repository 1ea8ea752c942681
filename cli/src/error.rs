//! Errors of the command line, and how each error is printed.

use crate::build_error::BuildError;
use crate::output::{ExitStatus, Printer, plain, write_out};
use crate::stdio::errln;
use clap::error::ErrorKind;
use longshore_engine::suggestion;
use longshore_store::RunId;
use serde_json::json;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

/// An error of the command line itself.
#[derive(Debug)]
pub(crate) enum CliError {
    NotACrate { path: PathBuf },
    Workspace { path: PathBuf, members: Vec<String> },
    NoLibrary { name: String },
    NoDependency { name: String },
    CargoMissing { source: std::io::Error },
    NoCargo { looked_in: Vec<PathBuf> },
    NoTarget { target: String, hint: String },
    NoStandardLibrary { target: String },
    NoLinker { target: String, program: String, variable: String },
    Asset { path: PathBuf, fault: &'static str },
    CargoFailed { name: String },
    Overridden { name: String, decision: String },
    CargoMetadata { message: String },
    NoPackageCall { name: String },
    NoArtifact { name: String },
    BadParam { text: String },
    ParamTwice { key: String },
    SeveralWorkflows { workflows: Vec<String> },
    NoWorkflow { packages: Vec<String> },
    NoDirectory { path: PathBuf },
    Unreadable { path: PathBuf, source: std::io::Error },
    NoPage { code: String },
    Exists { path: PathBuf },
    BadName { name: String },
    CargoNew { name: String, message: String },
    NoCheckout { path: PathBuf },
    FileExists { path: PathBuf },
    Key { file: PathBuf, fault: String },
    Metadata { message: String },
    BadState { text: String },
    NoHome { path: PathBuf },
    EngineDied,
    BadEvent { text: String },
    Refused { code: String, message: String, fix: String },
    NoRun { prefix: String },
    SeveralRuns { prefix: String, runs: Vec<RunId> },
    NoEntry { kind: &'static str, name: String, known: Vec<String> },
    NoPackage { name: String, known: Vec<String> },
    NoPackageToCompare { name: String, known: Vec<String> },
    NoDigest { name: String, wanted: String, known: Vec<String> },
}

impl CliError {
    fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::NoRun { .. } => "LS0603",
            Self::SeveralRuns { .. } => "LS0715",
            Self::Overridden { .. } => "LS0716",
            Self::NotACrate { .. } | Self::Workspace { .. } => "LS0701",
            Self::NoLibrary { .. } | Self::NoDependency { .. } => "LS0702",
            Self::CargoMissing { .. }
            | Self::NoCargo { .. }
            | Self::CargoFailed { .. }
            | Self::CargoMetadata { .. }
            | Self::NoArtifact { .. } => "LS0703",
            Self::NoPackageCall { .. } => "LS0704",
            Self::BadParam { .. } | Self::ParamTwice { .. } | Self::BadState { .. } => "LS0705",
            Self::SeveralWorkflows { .. } | Self::NoWorkflow { .. } => "LS0706",
            Self::Exists { .. }
            | Self::BadName { .. }
            | Self::CargoNew { .. }
            | Self::NoCheckout { .. }
            | Self::FileExists { .. } => "LS0707",
            Self::Metadata { .. } => "LS0708",
            Self::Asset { .. } => "LS0717",
            Self::Key { .. } => "LS0718",
            Self::NoTarget { .. } | Self::NoStandardLibrary { .. } | Self::NoLinker { .. } => "LS0719",
            Self::NoHome { .. } => "LS0709",
            Self::EngineDied => "LS0611",
            Self::NoDirectory { .. } | Self::Unreadable { .. } => "LS0712",
            Self::NoPage { .. } => "LS0713",
            Self::BadEvent { .. } => "LS0705",
            Self::NoEntry { .. } => "LS0710",
            Self::NoPackage { .. } | Self::NoPackageToCompare { .. } | Self::NoDigest { .. } => "LS0711",
        }
    }

    /// The fix of a tool that a build needs and that is not there.
    fn tool_fix(&self) -> String {
        match self {
            Self::CargoMissing { .. } => "install Rust, and make sure `cargo` is on the PATH".into(),
            Self::NoCargo { .. } => {
                "install Rust: https://rustup.rs, or the package of your system (Debian and Fedora: cargo; Homebrew: rust), or name \
                 cargo's program in the variable CARGO"
                    .into()
            }
            Self::NoTarget { hint, .. } => hint.clone(),
            Self::NoStandardLibrary { target } => format!(
                "`rustup target add {target}`; a toolchain without rustup has it in a package of its system, if at all"
            ),
            Self::NoLinker { program, variable, .. } => format!(
                "install it (Debian: {}), name another in {variable}, or build on a machine of that kind and join the files with \
                 `longshore pack`",
                debian_package(program)
            ),
            _ => String::new(),
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::NotACrate { .. } => {
                "name the folder of a crate, a .longshore file, or a workflow; `longshore new` makes a crate"
                    .into()
            }
            Self::Workspace { members, .. } => format!("name one of its crates: {}", members.join(", ")),
            Self::NoLibrary { .. } => "a package is a library: add src/lib.rs".into(),
            Self::NoDependency { .. } => "run `cargo add longshore`".into(),
            Self::CargoMissing { .. }
            | Self::NoCargo { .. }
            | Self::NoTarget { .. }
            | Self::NoStandardLibrary { .. }
            | Self::NoLinker { .. } => self.tool_fix(),
            Self::CargoMetadata { .. } => "mend the manifest: cargo's message says where".into(),
            Self::Overridden { name, .. } => format!(
                "run it in a home of its own (`--home DIR`), or take the decision back: `longshore packages release {name}`"
            ),
            Self::CargoFailed { .. } => "cargo's own message is above".into(),
            Self::NoPackageCall { .. } => "add `longshore::package!();` to src/lib.rs".into(),
            Self::NoArtifact { .. } => "see cargo's messages above".into(),
            Self::BadParam { .. } => "write KEY=VALUE".into(),
            Self::ParamTwice { .. } => "give it once".into(),
            Self::BadEvent { .. } => "events are JSON: quote texts, as in '\"text\"'".into(),
            Self::NoEntry { kind, known, .. } if known.is_empty() => format!("no loaded package has a {kind}"),
            Self::NoEntry { name, known, .. } => suggestion(name, known),
            Self::NoPackage { known, .. }
            | Self::NoPackageToCompare { known, .. }
            | Self::NoDigest { known, .. }
                if known.is_empty() =>
            {
                "take one in: `longshore packages add FILE`".into()
            }
            Self::NoPackage { name, known } | Self::NoPackageToCompare { name, known } => {
                suggestion(name, known)
            }
            Self::NoDigest { wanted, known, .. } => suggestion(wanted, known),
            Self::SeveralWorkflows { .. } => "choose one: --workflow NAME".into(),
            Self::NoWorkflow { .. } => {
                "put `#[longshore::workflow(name = \"..\")]` on a module of tasks".into()
            }
            Self::FileExists { .. } => "name a file that is not there yet".into(),
            Self::Exists { .. } => "name a folder that is not there yet".into(),
            Self::BadName { .. } => {
                "use ASCII letters, digits, `-` and `_`, a letter first, and no name of a crate that packages depend on"
                    .into()
            }
            Self::CargoNew { .. } => "give the folder another name".into(),
            Self::NoCheckout { .. } => "name a checkout with --longshore: the crates are not published yet".into(),
            Self::Metadata { .. } => "correct [package.metadata.longshore] in Cargo.toml".into(),
            Self::Key { .. } => "`longshore keygen` makes a key; `ssh-add -l` lists the keys of an agent".into(),
            Self::Asset { .. } => "move it out of the folder `assets`, or make it a plain file".into(),
            Self::BadState { .. } => "states are running, cancelling, succeeded, failed, cancelled".into(),
            Self::NoHome { .. } => "name the host's folder with --home, or run something first".into(),
            Self::NoDirectory { .. } => "make it, or name another".into(),
            Self::Unreadable { .. } => "let this user read it, or name another".into(),
            Self::EngineDied => {
                "start the host again: it finds its way from the database; report the panic above".into()
            }
            Self::Refused { fix, .. } => fix.clone(),
            Self::NoRun { .. } => "see `longshore runs list`".into(),
            Self::SeveralRuns { runs, .. } => {
                let ids: Vec<String> = runs.iter().map(ToString::to_string).collect();
                format!("write more of it: {}", ids.join(", "))
            }
            Self::NoPage { .. } => "codes look like LS0107; every error prints its own".into(),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotACrate { path } => {
                write!(f, "{} is not a crate, a package file, or a known workflow", path.display())
            }
            Self::Workspace { path, .. } => {
                write!(f, "{} is a workspace of several crates, and none itself", path.display())
            }
            Self::NoLibrary { name } => write!(f, "crate `{name}` has no library"),
            Self::NoDependency { name } => {
                write!(f, "crate `{name}` does not depend on longshore: it is not a package")
            }
            Self::CargoMissing { .. } => f.write_str("cargo could not be started"),
            Self::NoCargo { looked_in } => {
                write!(f, "there is no cargo in {}", joined(looked_in))
            }
            Self::NoTarget { target, .. } => write!(f, "the compiler knows no target `{target}`"),
            Self::NoStandardLibrary { target } => {
                write!(f, "Rust's standard library for {target} is not installed")
            }
            Self::NoLinker { target, program, .. } => {
                write!(f, "{program}, the linker for {target}, is not on the PATH")
            }
            Self::CargoMetadata { message } => write!(f, "cargo does not read the crate: {message}"),
            Self::Overridden { name, decision } => {
                write!(f, "`{name}` was not run: in this home the package is {decision}")
            }
            Self::CargoFailed { name } => write!(f, "cargo could not build `{name}`"),
            Self::NoPackageCall { name } => {
                write!(f, "crate `{name}` never calls `package!()`: its library has no static record")
            }
            Self::NoArtifact { name } => write!(f, "cargo built `{name}` and named no library"),
            Self::BadParam { text } => write!(f, "`{text}` is not a param"),
            Self::ParamTwice { key } => write!(f, "param `{key}` is given twice"),
            Self::BadEvent { text } => write!(f, "`{text}` is not an event"),
            Self::NoEntry { kind, name, .. } => write!(f, "no loaded package has a {kind} `{name}`"),
            Self::NoPackage { name, .. } => write!(f, "this home knows no package `{name}`"),
            Self::NoPackageToCompare { name, .. } => {
                write!(f, "there is no package `{name}` to compare with")
            }
            Self::NoDigest { name, wanted, .. } => write!(f, "package `{name}` has no {wanted}"),
            Self::SeveralWorkflows { workflows } => {
                write!(f, "the package has several workflows: {}", workflows.join(", "))
            }
            Self::NoWorkflow { packages } if packages.is_empty() => f.write_str("no package is loaded"),
            Self::NoWorkflow { packages } => {
                write!(f, "package {} has no workflow", packages.join(", "))
            }
            Self::NoDirectory { path } => write!(f, "the directory {} is not there", path.display()),
            Self::Unreadable { path, .. } => write!(f, "the directory {} cannot be read", path.display()),
            Self::NoRun { prefix } => write!(f, "no run begins with `{prefix}`"),
            Self::SeveralRuns { prefix, .. } => write!(f, "several runs begin with `{prefix}`"),
            Self::Refused { message, .. } => write!(f, "the host refused: {message}"),
            Self::NoPage { code } => write!(f, "`{code}` is not an error code"),
            Self::FileExists { path } | Self::Exists { path } => {
                write!(f, "{} is there already", path.display())
            }
            Self::BadName { name } => write!(f, "`{name}` is not a name for a new crate"),
            Self::CargoNew { name, message } => write!(f, "cargo makes no crate `{name}`: {message}"),
            Self::NoCheckout { path } => write!(f, "{} is not a checkout of Longshore", path.display()),
            Self::Metadata { message } => write!(f, "[package.metadata.longshore]: {message}"),
            Self::Key { file, fault } => write!(f, "the key {}: {fault}", file.display()),
            Self::Asset { path, fault } => {
                write!(f, "{} cannot travel with the package: {fault}", path.display())
            }
            Self::BadState { text } => write!(f, "`{text}` is not a state of a run"),
            Self::EngineDied => f.write_str("the engine of this host died: nothing is recorded any more"),
            Self::NoHome { path } => write!(f, "there is no Longshore database in {}", path.display()),
        }
    }
}

impl std::error::Error for CliError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::CargoMissing { source } | Self::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn joined(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The Debian package that has a linker: compilers for other architectures are named after what they build for.
fn debian_package(program: &str) -> String {
    format!("gcc-{}", program.trim_end_matches("-gcc").replace("x86_64", "x86-64"))
}

/// The code and the fix of the outermost error that has them.
pub(crate) fn coded(error: &anyhow::Error) -> Option<(String, String)> {
    error.chain().find_map(|cause| {
        if let Some(e) = cause.downcast_ref::<CliError>() {
            return Some((e.code().to_owned(), e.fix()));
        }
        if let Some(e) = cause.downcast_ref::<longshore_reconciler::Error>() {
            return Some((e.code().to_owned(), e.fix()));
        }
        if let Some(e) = cause.downcast_ref::<longshore_engine::Error>() {
            return Some((e.code().to_owned(), e.fix()));
        }
        if let Some(e) = cause.downcast_ref::<BuildError>() {
            return Some((e.code().to_owned(), e.fix().to_owned()));
        }
        if let Some(e) = cause.downcast_ref::<longshore_registry::Error>() {
            return Some((e.code().to_owned(), e.fix()));
        }
        if let Some(e) = cause.downcast_ref::<longshore_package::Error>() {
            return Some((e.code().to_owned(), e.fix()));
        }
        if let Some(e) = cause.downcast_ref::<longshore_reconciler::host::Error>() {
            return Some((e.code().to_owned(), e.fix()));
        }
        let store = cause.downcast_ref::<longshore_store::Error>();
        store.map(|e| (e.code().to_owned(), e.fix().to_owned()))
    })
}

/// True of an error of whoever typed the command.
fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_engine = cause.downcast_ref::<longshore_engine::Error>().is_some_and(|e| e.code() == PARAMS);
        let of_cli = cause.downcast_ref::<CliError>().is_some_and(|e| {
            e.code() == PARAMS
                || matches!(
                    e,
                    CliError::BadParam { .. }
                        | CliError::ParamTwice { .. }
                        | CliError::BadEvent { .. }
                        | CliError::BadState { .. }
                        | CliError::BadName { .. }
                        | CliError::CargoNew { .. }
                        | CliError::SeveralWorkflows { .. }
                )
        });
        of_engine || of_cli
    })
}

/// The code of params that are missing, unknown or wrong.
const PARAMS: &str = "LS0602";

/// The code of a command line that does not read.
const USAGE: &str = "LS0714";

/// Prints what is wrong with a command line, or the help that was asked for, and gives the exit code.
pub(crate) fn report_usage(error: &clap::Error) -> ExitCode {
    let is_given = |wanted: &[&str]| {
        std::env::args_os().any(|argument| argument.to_str().is_some_and(|it| wanted.contains(&it)))
    };
    if error.kind() == ErrorKind::DisplayVersion && is_given(&["--verbose", "-v", "-vv"]) {
        let _ = write_out(&crate::version::version());
        return ExitStatus::Done.into();
    }
    let wants_json = is_given(&["--json"]);
    if !error.use_stderr() || !wants_json {
        // Nobody to tell that it could not be told.
        let _ = error.print();
        return if error.use_stderr() { ExitStatus::Usage.into() } else { ExitStatus::Done.into() };
    }
    let text = error.render().to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let fix = "see `longshore --help`, and `--help` of each command";
    let _ = write_out(&document(USAGE, message, &[], fix));
    ExitStatus::Usage.into()
}

/// An error as a document.
fn document(code: &str, message: &str, causes: &[String], fix: &str) -> String {
    let error = json!({ "code": code, "message": message, "causes": causes, "fix": fix });
    format!("{:#}\n", json!({ "error": error }))
}

/// Prints an error with its code, its causes and what to do, and gives the exit code.
pub(crate) fn report(error: &anyhow::Error, printer: &Printer) -> ExitCode {
    let status = if is_usage(error) { ExitStatus::Usage } else { ExitStatus::Failed };
    let (code, fix) = coded(error).unwrap_or_default();
    let mut chain = error.chain().map(ToString::to_string);
    let message = chain.next().unwrap_or_default();
    let causes: Vec<String> = chain.collect();
    if printer.is_json() {
        // Nobody to tell that the error could not be told.
        let _ = write_out(&document(&code, &message, &causes, &fix));
        return status.into();
    }
    let bracket = if code.is_empty() { String::new() } else { format!("[{code}]") };
    errln!("error{bracket}: {}", plain(&message));
    for cause in causes {
        errln!("  because: {}", plain(&cause));
    }
    if !fix.is_empty() {
        errln!("  fix: {}", plain(&fix));
    }
    if !code.is_empty() {
        errln!("  more: longshore explain {code}");
    }
    status.into()
}
