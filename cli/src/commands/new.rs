//! `longshore new`.

use crate::error::CliError;
use crate::output::{ExitStatus, Printer};
use anyhow::Context;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to make; its last part names the crate
    path: PathBuf,
    /// A checkout of Longshore to depend on, instead of the published crates
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

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let path = &args.path;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !good {
        return Err(CliError::BadName { name }.into());
    }
    if path.exists() {
        return Err(CliError::Exists { path: path.clone() }.into());
    }
    let dependency = |krate: &str, folder: &str| -> anyhow::Result<String> {
        Ok(match &args.longshore {
            Some(checkout) => {
                let place =
                    checkout.join(folder).canonicalize().context("no checkout of Longshore is there")?;
                format!("{krate} = {{ path = {:?} }}", place)
            }
            None => format!("{krate} = \"{}\"", env!("CARGO_PKG_VERSION")),
        })
    };
    let cargo_toml = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
         [features]\npackaged = [\"longshore/packaged\"]\n\n\
         [dependencies]\n{}\nserde_json = \"1\"\n\n[build-dependencies]\n{}\n\n\
         # A crate of its own, wherever it stands.\n[workspace]\n",
        dependency("longshore", ".")?,
        dependency("longshore-build", "build-helper")?,
    );
    let lib_rs = LIB_RS.replace("NAME_IDENT", &name.replace('-', "_")).replace("NAME", &name);
    for (file, content) in [
        ("Cargo.toml", &*cargo_toml),
        ("build.rs", BUILD_RS),
        ("src/lib.rs", &lib_rs),
        (".gitignore", "/target\n"),
    ] {
        write(&path.join(file), content)?;
    }
    let shown = path.display();
    printer.print(&json!({ "name": name, "path": path }), || {
        format!("made {shown}; now: longshore run {shown}\n")
    })?;
    Ok(ExitStatus::Done)
}

fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    let written =
        path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, content));
    written.with_context(|| format!("cannot write {}", path.display()))
}
