//! The repository as tidy reads it: its sources, its crates, its texts.

use super::imports::Crate;
use super::source::Source;
use crate::workspace::{manifest, members};
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A repository.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    /// All Rust files by their path.
    pub(crate) sources: BTreeMap<String, Source>,
    /// The crates of the workspace, a program beside its library as one of its own.
    pub(crate) crates: Vec<Crate>,
    /// Recorded outputs of tests: snapshots, and what the compiler says of wrong macro arguments.
    pub(crate) recorded: Vec<String>,
}

impl Tree {
    /// Reads and parses the repository in a folder.
    ///
    /// # Errors
    /// When a file does not read, or is not what its name says.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self {
            root: root.to_owned(),
            sources: BTreeMap::new(),
            crates: Vec::new(),
            recorded: Vec::new(),
        };
        tree.collect(root)?;
        tree.crates = crates_of(root)?;
        Ok(tree)
    }

    /// Names of the files in a folder.
    ///
    /// # Errors
    /// When the folder does not read.
    pub(crate) fn names_in(&self, folder: &str) -> anyhow::Result<BTreeSet<String>> {
        let path = self.root.join(folder);
        let entries =
            std::fs::read_dir(&path).with_context(|| format!("{} does not read", path.display()))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn collect(&mut self, folder: &Path) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    self.collect(&path)?;
                }
            } else if name.ends_with(".rs") {
                let in_tree = path.strip_prefix(&self.root)?.to_string_lossy().replace('\\', "/");
                let source = Source::parse(&in_tree, &std::fs::read_to_string(&path)?)?;
                self.sources.insert(in_tree, source);
            } else if name.ends_with(".snap") || name.ends_with(".stderr") {
                self.recorded.push(std::fs::read_to_string(&path)?);
            }
        }
        Ok(())
    }
}

fn crates_of(root: &Path) -> anyhow::Result<Vec<Crate>> {
    let mut crates = Vec::new();
    for folder in members(root)? {
        let manifest = manifest(&root.join(&folder).join("Cargo.toml"))?;
        let name = manifest["package"]["name"].as_str().context("a package has a name")?.replace('-', "_");
        let prefix = if folder == "." { String::new() } else { format!("{folder}/") };
        let roots = [(name.clone(), "src/lib.rs"), (format!("{name} (program)"), "src/main.rs")];
        let there = roots.into_iter().map(|(name, file)| Crate { name, root: format!("{prefix}{file}") });
        crates.extend(there.filter(|krate| root.join(&krate.root).exists()));
    }
    Ok(crates)
}
