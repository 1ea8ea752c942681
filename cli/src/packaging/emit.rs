//! Files by which other build systems build and stage a package.

use super::find::find_package;
use anyhow::Context;
use clap::ValueEnum;
use std::path::Path;

/// A build system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BuildSystem {
    /// A file to include() from a CMakeLists.txt
    Cmake,
    /// A file to include from a Makefile
    Make,
    /// The meson.build of a folder of its own
    Meson,
}

impl BuildSystem {
    fn template(self) -> &'static str {
        match self {
            Self::Cmake => include_str!("../../templates/emit/cmake"),
            Self::Make => include_str!("../../templates/emit/make"),
            Self::Meson => include_str!("../../templates/emit/meson"),
        }
    }

    /// A path as the system's language writes it.
    fn quoted(self, path: &str) -> String {
        match self {
            Self::Cmake => escaped(path, &['\\', '"', '$', ';']),
            Self::Meson => escaped(path, &['\\', '\'']),
            // For the shell, in which make doubles dollars.
            Self::Make => format!("'{}'", path.replace('\'', "'\\''")).replace('$', "$$"),
        }
    }
}

fn escaped(text: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The file by which a build system builds the crate in a folder, with this very command.
pub(crate) fn emit(path: &Path, system: BuildSystem) -> anyhow::Result<String> {
    let found = find_package(path)?;
    let folder = found.package.manifest_path.parent().context("a manifest stands in a folder")?;
    let program = std::env::current_exe().context("this program has no path")?;
    let program_folder = program.parent().unwrap_or(Path::new("."));
    let text = |path: &Path| path.display().to_string();
    let (name, ident) = (found.package.name.to_string(), found.package.name.replace('-', "_"));
    // The longer words first: one is the beginning of another.
    Ok(system
        .template()
        .replace("TEMPLATE_PROGRAM_FOLDER", &system.quoted(&text(program_folder)))
        .replace("TEMPLATE_PROGRAM", &system.quoted(&text(&program)))
        .replace("TEMPLATE_CRATE", &system.quoted(folder.as_str()))
        .replace("TEMPLATE_IDENT", &ident)
        .replace("TEMPLATE_NAME", &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_themselves_in_each_language() {
        let path = "/it's $HOME/\"a\";b\\c";
        assert_eq!(BuildSystem::Cmake.quoted(path), "/it's \\$HOME/\\\"a\\\"\\;b\\\\c");
        assert_eq!(BuildSystem::Meson.quoted(path), "/it\\'s $HOME/\"a\";b\\\\c");
        assert_eq!(BuildSystem::Make.quoted(path), "'/it'\\''s $$HOME/\"a\";b\\c'");
    }
}
