//! The package that is measured: written, built, and opened.

use anyhow::{Context, bail};
use fidius_host::PluginHandle;
use fidius_host::loader::load_library;
use longshore_package::{Archive, ArchiveLimits, host_target, pack, target_path};
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::interface::{LongshoreHost, LongshoreHostBinding};
use longshore_workflow_plugin::wire::{ShellConfig, TaskMetadata, Wire};
use serde_bytes::ByteBuf;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Tasks of the workflow `many`.
pub(crate) const MANY: usize = 1000;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder that builds write to.
pub(crate) fn target() -> PathBuf {
    repository().join("target")
}

/// Builds the package and returns its archive. cargo notices when nothing changed.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    build_crate("measured", &source())
}

/// A package of one workflow with one task, both it and the workflow named `wf_single`.
pub(crate) fn build_small() -> anyhow::Result<PathBuf> {
    let mut out = String::from("longshore::package!();\n");
    workflow(&mut out, "wf_single", &task("", "only", NOOP));
    build_crate("wf_single", &out)
}

/// Builds a package of this source and returns its archive.
pub(crate) fn build_crate(name: &str, source: &str) -> anyhow::Result<PathBuf> {
    let folder = crate_folder(name, source)?;
    let output = Command::new(command_line()?)
        .arg("build")
        .args(PROFILE)
        .arg("--json")
        .arg(&folder)
        .env("CARGO_TARGET_DIR", packages_target())
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("the measured package does not build: {}", String::from_utf8_lossy(&output.stdout));
    }
    let built: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(built["file"].as_str().context("no file was named")?.into())
}

/// The profile of what is measured, which is that of this program: a smoke run builds nothing in release.
const PROFILE: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };

/// The command line.
pub(crate) fn command_line() -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.arg("build").args(PROFILE).args(["--quiet", "-p", "longshore-cli"]).current_dir(repository());
    anyhow::ensure!(cargo.status()?.success(), "the command line does not build");
    Ok(target().join(if PROFILE.is_empty() { "debug" } else { "release" }).join("longshore"))
}

/// The folder that measured packages are built in: one for all of them.
pub(crate) fn packages_target() -> PathBuf {
    target().join("bench-packages/target")
}

/// Writes a crate of this source and returns its folder.
pub(crate) fn crate_folder(name: &str, source: &str) -> anyhow::Result<PathBuf> {
    let folder = repository().join("target/bench-packages").join(name);
    std::fs::create_dir_all(folder.join("src"))?;
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         longshore = {{ path = {:?} }}\nserde_json = \"1\"\ntokio = {{ version = \"1\", features = [\"time\"] }}\n\n\
         [workspace]\n\n[profile.release]\ndebug = false\n",
        repository()
    );
    write_if_changed(&folder.join("Cargo.toml"), &manifest)?;
    write_if_changed(&folder.join("src/lib.rs"), source)?;
    std::fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(folder)
}

/// Two archives of one package: the same code under digests of their own.
pub(crate) fn versions(archive: &Path) -> anyhow::Result<[Vec<u8>; 2]> {
    let mut original = Archive::open(archive, ArchiveLimits::default())?;
    let library = original.library(&host_target())?;
    let version = |description: &str| -> anyhow::Result<Vec<u8>> {
        let mut manifest = original.manifest().clone();
        manifest.package.description = description.to_owned();
        let file = (target_path(&host_target(), &library.name), library.bytes.clone());
        Ok(pack(&manifest, &[file])?.1)
    };
    Ok([version("one")?, version("other")?])
}

/// Puts an archive into a folder, in the place of the one before.
pub(crate) fn put(folder: &Path, archive: &[u8]) -> anyhow::Result<()> {
    std::fs::write(folder.join(".new"), archive)?;
    Ok(std::fs::rename(folder.join(".new"), folder.join("package.longshore"))?)
}

fn write_if_changed(path: &Path, content: &str) -> std::io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|before| before == content) {
        return Ok(());
    }
    std::fs::write(path, content)
}

const NOOP: &str = "let _ = context; Ok(())";

fn workflow(out: &mut String, name: &str, tasks: &str) {
    // Writing to a String does not fail.
    let _ = write!(
        out,
        "\n#[longshore::workflow(name = \"{name}\")]\npub mod {name} {{\n    \
         use longshore::{{Context, TaskError, task}};\n    use serde_json::Value;\n{tasks}}}\n"
    );
}

fn task(args: &str, id: &str, body: &str) -> String {
    format!(
        "    #[task({args})]\n    pub async fn {id}(context: &mut Context<Value>) -> Result<(), TaskError> {{ {body} }}\n"
    )
}

fn source() -> String {
    let mut out = String::from("longshore::package!();\n");
    workflow(&mut out, "wf_single", &task("", "only", NOOP));
    let after = |i: i32| if i == 0 { String::new() } else { format!("dependencies = [\"c{}\"]", i - 1) };
    let chain: String = (0..10).map(|i| task(&after(i), &format!("c{i}"), NOOP)).collect();
    workflow(&mut out, "wf_chain", &chain);
    let fan: String = (0..98).map(|i| task("dependencies = [\"root\"]", &format!("f{i}"), NOOP)).collect();
    let all: Vec<String> = (0..98).map(|i| format!("\"f{i}\"")).collect();
    let join = task(&format!("dependencies = [{}]", all.join(", ")), "last", NOOP);
    workflow(&mut out, "wf_fanout", &format!("{}{fan}{join}", task("", "root", NOOP)));
    let sleep = "let _ = context; tokio::time::sleep(std::time::Duration::from_secs(2)).await; Ok(())";
    workflow(&mut out, "wf_sleeps", &task("", "sleeper", sleep));
    workflow(&mut out, "wf_touches", &task("", "touch", "let _ = context.get(\"k0\"); Ok(())"));
    let many: String = (0..MANY).map(|i| task("", &format!("t{i:04}"), NOOP)).collect();
    workflow(&mut out, "wf_many", &many);
    out
}

/// The library, opened without a host around it.
pub(crate) struct Measured {
    pub(crate) handle: PluginHandle,
    metadata: TaskMetadata,
}

impl Measured {
    /// Opens the archive's library under a path of its own.
    pub(crate) fn open(
        archive: &Path,
        folder: &Path,
        host: Option<Arc<dyn LongshoreHost>>,
    ) -> anyhow::Result<Self> {
        let mut archive = Archive::open(archive, ArchiveLimits::default())?;
        let library = archive.library(&host_target())?;
        let path = folder.join(library.name);
        std::fs::write(&path, library.bytes)?;
        let mut library = load_library(&path)?;
        if let Some(host) = host {
            LongshoreHostBinding::bind(&library, host)?;
        }
        let config = ShellConfig { workers: 2, log_level: 0, shutdown_ms: 5000 };
        let handle =
            PluginHandle::configure_from_loaded(library.plugins.remove(0), &ByteBuf::from(config.encode()))?;
        let metadata =
            TaskMetadata::decode(&handle.call_method_raw(Method::GetTaskMetadata.position(), &[])?)?;
        Ok(Self { handle, metadata })
    }

    /// The index of a task.
    pub(crate) fn index(&self, workflow: &str, task: &str) -> anyhow::Result<u32> {
        let found = self.metadata.tasks.iter().position(|t| t.workflow == workflow && t.id == task);
        Ok(u32::try_from(found.context("no such task")?)?)
    }
}
