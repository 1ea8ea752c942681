//! Packages of the peer: written, built in release, and opened, directly and by its own host.

use anyhow::{Context as _, ensure};
use cloacina::cloacina_workflow_plugin::{METHOD_GET_TASK_METADATA, PackageTasksMetadata};
use cloacina::registry::{PackageLoader, TaskRegistrar};
use cloacina::{Runtime, Task, TaskNamespace};
use fidius_host::PluginHandle;
use fidius_host::loader::load_library;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Tasks of the workflow `wf_many`.
pub(crate) const MANY: usize = 1000;

/// The name of the package that is copied, and of its workflow. Long, because names of up to sixteen bytes may end
/// up as numbers in instructions, where a replacement does not find them.
pub(crate) const COPIED: &str = "peer_package_whose_name_is_replaced_in_each_of_its_copies";

const NOOP: &str = "let _ = context; Ok(())";

/// Each workflow is a package of its own: the peer supports only one in a package.
pub(crate) fn touches() -> anyhow::Result<PathBuf> {
    build("wf_touches", &task("touch", "let _ = context.get(\"k0\"); Ok(())"))
}

pub(crate) fn many() -> anyhow::Result<PathBuf> {
    let tasks: String = (0..MANY).map(|i| task(&format!("t{i:04}"), NOOP)).collect();
    build("wf_many", &tasks)
}

pub(crate) fn sleeps() -> anyhow::Result<PathBuf> {
    let sleep = "let _ = context; tokio::time::sleep(std::time::Duration::from_secs(2)).await; Ok(())";
    build("wf_sleeps", &task("sleeper", sleep))
}

pub(crate) fn copied() -> anyhow::Result<PathBuf> {
    build(COPIED, &task("only", NOOP))
}

fn task(id: &str, body: &str) -> String {
    format!(
        "    #[task]\n    pub async fn {id}(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {{ \
         {body} }}\n"
    )
}

/// The manifest and the source of a crate of this name with these tasks.
pub(crate) fn crate_of(name: &str, tasks: &str) -> (String, String) {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n\
         [features]\ndefault = [\"packaged\"]\npackaged = []\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\n\
         cloacina-workflow = {{ version = \"=0.11.1\", features = [\"packaged\"] }}\n\
         cloacina-workflow-plugin = \"=0.11.1\"\nserde_json = \"1\"\n\
         tokio = {{ version = \"1\", features = [\"time\"] }}\n\n[workspace]\n\n\
         [profile.release]\ndebug = false\n"
    );
    let source = format!(
        "cloacina_workflow_plugin::package!();\n\n#[cloacina_workflow::workflow(name = \"{name}\")]\n\
         pub mod {name} {{\n    use cloacina_workflow::{{task, Context, TaskError}};\n\n{tasks}}}\n"
    );
    (manifest, source)
}

/// Builds a package and returns its library. cargo notices when nothing changed.
fn build(name: &str, tasks: &str) -> anyhow::Result<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = peers.join("target/packages").join(name);
    let target = peers.join("target/packages/target");
    std::fs::create_dir_all(folder.join("src"))?;
    let (manifest, source) = crate_of(name, tasks);
    write_if_changed(&folder.join("Cargo.toml"), &manifest)?;
    write_if_changed(&folder.join("src/lib.rs"), &source)?;
    // The same versions as in the host: everything a package needs, the host needs too.
    if !folder.join("Cargo.lock").exists() {
        std::fs::copy(peers.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    }
    let status = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    ensure!(status.success(), "the peer's package {name} does not build");
    Ok(target.join(format!("release/lib{name}.so")))
}

fn write_if_changed(path: &Path, content: &str) -> std::io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|before| before == content) {
        return Ok(());
    }
    std::fs::write(path, content)
}

/// A library, opened without a host around it. To be leaked: threads of its own runtime are parked in it.
pub(crate) struct Measured {
    pub(crate) handle: PluginHandle,
    /// In the order in which the library looks for a task, which is arbitrary and changes with each build.
    pub(crate) tasks: Vec<String>,
}

impl Measured {
    pub(crate) fn open(library: &Path) -> anyhow::Result<Self> {
        let plugin = load_library(library)?.plugins.into_iter().next().context("no plugin in the library")?;
        let handle = PluginHandle::from_loaded(plugin);
        let metadata: PackageTasksMetadata = handle.call_method(METHOD_GET_TASK_METADATA, &())?;
        Ok(Self { handle, tasks: metadata.tasks.into_iter().map(|task| task.id).collect() })
    }
}

/// A library, opened as the peer's host does it. To be leaked, as above.
pub(crate) struct Hosted {
    runtime: Arc<Runtime>,
    namespaces: Vec<TaskNamespace>,
    _registrar: TaskRegistrar,
}

impl Hosted {
    pub(crate) async fn open(library: &Path) -> anyhow::Result<Self> {
        let library = std::fs::read(library)?;
        let loader = PackageLoader::new()?;
        let metadata = loader.extract_metadata(&library).await?;
        let registrar = TaskRegistrar::with_handle_cache(loader.handle_cache())?;
        let runtime = Arc::new(Runtime::empty());
        let namespaces =
            registrar.register_package_tasks("measured", &library, &metadata, None, &runtime).await?;
        Ok(Self { runtime, namespaces, _registrar: registrar })
    }

    /// A task as the peer's executor gets it.
    pub(crate) fn task(&self, id: &str) -> anyhow::Result<Arc<dyn Task>> {
        let namespace =
            self.namespaces.iter().find(|namespace| namespace.task_id == id).context("no such task")?;
        self.runtime.get_task(namespace).context("the task is not registered")
    }

    /// In the order in which the library looks for a task.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.namespaces.iter().map(|namespace| namespace.task_id.as_str())
    }
}
