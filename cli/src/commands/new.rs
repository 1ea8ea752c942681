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
    /// A package with a reactor and a computation graph
    #[arg(long, group = "kind")]
    graph: bool,
    /// A package whose workflow starts by itself, by the clock and when a file appears
    #[arg(long, group = "kind")]
    trigger: bool,
    /// A program that runs its own workflow, and is a package as well
    #[arg(long, group = "kind")]
    embedded: bool,
}

const BUILD_RS: &str = "fn main() {\n    longshore_build::configure();\n}\n";

/// The file by which a forge tests, builds, signs and publishes.
const CI_FILE: &str = ".github/workflows/package.yml";

/// The kind of a new crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Workflow,
    Graph,
    Trigger,
    /// A program that runs its own workflow.
    Embedded,
}

impl Kind {
    fn of(args: &Args) -> Self {
        match (args.graph, args.trigger, args.embedded) {
            (true, ..) => Self::Graph,
            (_, true, _) => Self::Trigger,
            (.., true) => Self::Embedded,
            _ => Self::Workflow,
        }
    }

    /// The sources, in which TEMPLATE_NAME and TEMPLATE_IDENT stand for the crate's.
    fn files(self) -> Vec<(&'static str, &'static str)> {
        let lib = "src/lib.rs";
        let workflow = (lib, include_str!("../../templates/workflow.rs"));
        match self {
            Self::Workflow => vec![workflow],
            Self::Trigger => vec![(lib, include_str!("../../templates/trigger.rs"))],
            Self::Graph => vec![
                (lib, include_str!("../../templates/graph/lib.rs")),
                ("data/readings.jsonl", include_str!("../../templates/graph/readings.jsonl")),
            ],
            Self::Embedded => vec![workflow, ("src/main.rs", include_str!("../../templates/main.rs"))],
        }
    }

    /// The command that runs the main job of a new crate.
    fn run(self, path: &str) -> String {
        match self {
            Self::Embedded => format!("cargo run --manifest-path {path}/Cargo.toml"),
            // Its stream is read below the folder in which the command runs.
            Self::Graph => format!("cd {path} && longshore run ."),
            Self::Workflow | Self::Trigger => format!("longshore run {path}"),
        }
    }
}

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
    let kind = Kind::of(args);
    let made = fill(path, &name, kind, &checkout);
    if made.is_err() {
        // What cargo began is of no use: the next try would say that it is there.
        let _ = std::fs::remove_dir_all(path);
    }
    made?;
    let shown = path.display().to_string();
    let next = kind.run(&shown);
    printer.print(&json!({ "name": name, "path": path, "next": next }), || {
        format!("made {shown}; now: {next}\n")
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
fn fill(path: &Path, name: &str, kind: Kind, checkout: &Path) -> anyhow::Result<()> {
    let manifest = path.join("Cargo.toml");
    let made =
        std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    write(&path.join("Cargo.toml"), &package_manifest(&made, kind, checkout)?)?;
    write(&path.join("build.rs"), BUILD_RS)?;
    // The second one is the home of hosts that are started here.
    write(&path.join(".gitignore"), "/target\n/.longshore/\n")?;
    let ci = include_str!("../../templates/ci/package.yml");
    write(&path.join(CI_FILE), &ci.replace("TEMPLATE_REPOSITORY", env!("CARGO_PKG_REPOSITORY")))?;
    for (file, template) in kind.files() {
        let content =
            template.replace("TEMPLATE_IDENT", &name.replace('-', "_")).replace("TEMPLATE_NAME", name);
        write(&path.join(file), &content)?;
    }
    Ok(())
}

/// The manifest that cargo made, with what a package needs.
fn package_manifest(made: &str, kind: Kind, checkout: &Path) -> anyhow::Result<String> {
    let mut manifest: DocumentMut = made.parse().context("the manifest that cargo made does not read")?;
    let dependency = |folder: &str| {
        let mut table = InlineTable::new();
        table.insert("path", checkout.join(folder).to_string_lossy().into_owned().into());
        toml_edit::value(table)
    };
    let versioned = |version: &str, features: &[&str]| {
        let mut table = InlineTable::new();
        table.insert("version", version.into());
        table.insert("features", Array::from_iter(features.iter().copied()).into());
        toml_edit::value(table)
    };
    for table in ["lib", "features", "dependencies", "dev-dependencies", "build-dependencies"] {
        manifest.entry(table).or_insert(toml_edit::table());
    }
    manifest["lib"]["crate-type"] = toml_edit::value(Array::from_iter(["cdylib", "rlib"]));
    manifest["features"]["packaged"] = toml_edit::value(Array::from_iter(["longshore/packaged"]));
    manifest["dependencies"]["longshore"] = dependency("");
    manifest["dependencies"]["serde_json"] = toml_edit::value("1");
    if kind == Kind::Graph {
        manifest["dependencies"]["serde"] = versioned("1", &["derive"]);
    }
    if kind == Kind::Embedded {
        manifest["dependencies"]["longshore"]["features"] = toml_edit::value(Array::from_iter(["embedded"]));
        manifest["dependencies"]["tokio"] = versioned("1", &["macros", "rt-multi-thread"]);
    } else {
        manifest["dev-dependencies"]["tokio"] = versioned("1", &["macros", "rt"]);
    }
    manifest["build-dependencies"]["longshore-build"] = dependency("build-helper");
    Ok(manifest.to_string())
}

fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    let written =
        path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, content));
    written.with_context(|| format!("cannot write {}", path.display()))
}
