//! `longshore new`.

use crate::error::CliError;
use crate::output::{ExitStatus, Printer};
use crate::packaging::cargo;
use anyhow::Context;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml_edit::{Array, DocumentMut, InlineTable};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to make; its last part names the crate
    path: PathBuf,
    /// A checkout of Longshore to depend on; the one that this program was built from by default
    #[arg(long)]
    longshore: Option<PathBuf>,
}

const BUILD_RS: &str = "fn main() {\n    longshore_build::configure();\n}\n";

const LIB_RS: &str = r#"//! A Longshore package.

longshore::package!();

#[longshore::workflow(name = "NAME", description = "Greets somebody", params(name: String = "world"))]
pub mod NAME_IDENT {
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    /// what: finds out whom to greet
    #[task]
    pub async fn find(context: &mut Context<Value>) -> Result<(), TaskError> {
        let name: String = context.get_required("name")?;
        context.insert_as("whom", name.trim())
    }

    /// what: writes the greeting
    #[task(dependencies = ["find"])]
    pub async fn greet(context: &mut Context<Value>) -> Result<(), TaskError> {
        let whom: String = context.get_required("whom")?;
        context.insert_as("greeting", format!("Hello, {whom}!"))
    }
}
"#;

/// Names of crates that a package depends on, those of the standard library included: nobody can tell it from them.
const TAKEN: [&str; 12] = [
    "alloc",
    "core",
    // A keyword that cargo lets pass.
    "gen",
    "longshore",
    "longshore-build",
    "longshore-macros",
    "longshore-workflow",
    "longshore-workflow-plugin",
    "proc-macro",
    "serde-json",
    "std",
    "test",
];

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let path = &args.path;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let is_good = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let is_taken = TAKEN.iter().any(|taken| taken.replace('-', "_") == name.replace('-', "_"));
    if !is_good || is_taken {
        return Err(CliError::BadName { name }.into());
    }
    if path.exists() {
        return Err(CliError::Exists { path: path.clone() }.into());
    }
    let checkout = checkout(args)?;
    cargo_new(path, &name)?;
    let made = fill(path, &name, &checkout);
    if made.is_err() {
        // What cargo began is of no use: the next try would say that it is there.
        let _ = std::fs::remove_dir_all(path);
    }
    made?;
    let shown = path.display();
    printer.print(&json!({ "name": name, "path": path }), || {
        format!("made {shown}; now: longshore run {shown}\n")
    })?;
    Ok(ExitStatus::Done)
}

/// The checkout of Longshore that a new crate depends on: the one that was named, or that of this program. The crates are
/// not published yet.
fn checkout(args: &Args) -> Result<PathBuf, CliError> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    let named = args.longshore.clone().or(own).unwrap_or_default();
    let found = named.canonicalize().ok().filter(|path| path.join("build-helper/Cargo.toml").is_file());
    found.ok_or(CliError::NoCheckout { path: named })
}

/// Lets cargo make the crate: it knows which names are allowed, and adds the crate to the workspace that it stands in.
fn cargo_new(path: &Path, name: &str) -> anyhow::Result<()> {
    let mut cargo = Command::new(cargo()?);
    cargo.args(["new", "--quiet", "--lib", "--vcs", "none", "--edition", "2024", "--name", name]).arg(path);
    let output = cargo.output().map_err(|source| CliError::CargoMissing { source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let message =
        said.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(&said).trim().to_owned();
    Err(CliError::CargoNew { name: name.to_owned(), message }.into())
}

/// Makes a package of the crate that cargo made.
fn fill(path: &Path, name: &str, checkout: &Path) -> anyhow::Result<()> {
    let manifest = path.join("Cargo.toml");
    let made =
        std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let cargo_toml = package_manifest(&made, checkout)?;
    let lib_rs = LIB_RS.replace("NAME_IDENT", &name.replace('-', "_")).replace("NAME", name);
    for (file, content) in [
        ("Cargo.toml", &*cargo_toml),
        ("build.rs", BUILD_RS),
        ("src/lib.rs", &lib_rs),
        // The second one is the home of hosts that are started here.
        (".gitignore", "/target\n/.longshore/\n"),
    ] {
        write(&path.join(file), content)?;
    }
    Ok(())
}

/// The manifest that cargo made, with what a package needs.
fn package_manifest(made: &str, checkout: &Path) -> anyhow::Result<String> {
    let mut manifest: DocumentMut = made.parse().context("the manifest that cargo made does not read")?;
    let dependency = |folder: &str| {
        let mut table = InlineTable::new();
        table.insert("path", checkout.join(folder).to_string_lossy().into_owned().into());
        toml_edit::value(table)
    };
    for table in ["lib", "features", "dependencies", "build-dependencies"] {
        manifest.entry(table).or_insert(toml_edit::table());
    }
    manifest["lib"]["crate-type"] = toml_edit::value(Array::from_iter(["cdylib", "rlib"]));
    manifest["features"]["packaged"] = toml_edit::value(Array::from_iter(["longshore/packaged"]));
    manifest["dependencies"]["longshore"] = dependency("");
    manifest["dependencies"]["serde_json"] = toml_edit::value("1");
    manifest["build-dependencies"]["longshore-build"] = dependency("build-helper");
    Ok(manifest.to_string())
}

fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    let written =
        path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, content));
    written.with_context(|| format!("cannot write {}", path.display()))
}
