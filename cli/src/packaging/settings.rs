//! The settings of a build: `longshore.toml` beside Cargo.toml, and `longshore-options.toml` of whoever builds.

use crate::build_error::BuildError;
use longshore_package::read_text;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The author's settings.
pub(super) const SETTINGS: &str = "longshore.toml";

/// The options of whoever builds, in the folder where the command is called or above it.
pub(super) const OPTIONS: &str = "longshore-options.toml";

/// Largest file, in bytes.
const MAX: u64 = 64 << 10;

/// The settings of a crate.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The toolchain, as rustup names it.
    pub(super) toolchain: Option<String>,
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
    /// The registry of builds that nobody has to make again.
    pub(super) prebuilt: Option<Prebuilt>,
}

/// The settings of a profile, `dev` or `release`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    /// Arguments for cargo.
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    target: BTreeMap<String, Target>,
}

/// The settings of a target.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    /// Arguments for cargo, after those of the profile.
    #[serde(default)]
    flags: Vec<String>,
    linker: Option<String>,
}

/// A registry with builds, and the keys that may have signed them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prebuilt {
    /// The address of the registry.
    pub(crate) url: String,
    /// A file of allowed signers, relative to the settings.
    pub(crate) keys: PathBuf,
}

/// The options of whoever builds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// Show every command of cargo.
    #[serde(default)]
    pub(super) verbose: bool,
    /// Take what was built before.
    #[serde(default = "yes")]
    pub(super) use_prebuilt: bool,
}

fn yes() -> bool {
    true
}

impl Default for Options {
    fn default() -> Self {
        Self { verbose: false, use_prebuilt: true }
    }
}

/// The settings in a crate's folder.
pub(super) fn settings(folder: &Path) -> Result<Settings, BuildError> {
    let file = folder.join(SETTINGS);
    let mut settings: Settings = read(&file)?.unwrap_or_default();
    if let Some(unknown) = settings.profile.keys().find(|name| !["dev", "release"].contains(&name.as_str())) {
        let message = format!("there is no profile `{unknown}`; there are dev, release");
        return Err(BuildError::Settings { file, message });
    }
    if let Some(prebuilt) = &mut settings.prebuilt {
        prebuilt.keys = folder.join(&prebuilt.keys);
        // A registry in a folder may lie beside the crate.
        let place = folder.join(&prebuilt.url);
        if place.is_dir() {
            prebuilt.url = place.display().to_string();
        }
    }
    Ok(settings)
}

/// The options in a folder, or in the first one above it that has some.
pub(super) fn options(folder: &Path) -> Result<Options, BuildError> {
    for above in folder.ancestors() {
        if let Some(options) = read(&above.join(OPTIONS))? {
            return Ok(options);
        }
    }
    Ok(Options::default())
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, BuildError> {
    if !file.exists() {
        return Ok(None);
    }
    let bad = |message: String| BuildError::Settings { file: file.to_owned(), message };
    let text = read_text(file, MAX).map_err(|error| bad(error.to_string()))?;
    toml::from_str(&text).map(Some).map_err(|error| bad(error.to_string().trim_end().to_owned()))
}

impl Settings {
    fn of(&self, release: bool) -> Option<&Profile> {
        self.profile.get(if release { "release" } else { "dev" })
    }

    /// The arguments for cargo.
    pub(super) fn flags(&self, release: bool, target: &str) -> Vec<String> {
        let Some(profile) = self.of(release) else { return Vec::new() };
        let of_target = profile.target.get(target).map(|target| target.flags.as_slice()).unwrap_or_default();
        profile.flags.iter().chain(of_target).cloned().collect()
    }

    /// The linker for a target.
    pub(super) fn linker(&self, release: bool, target: &str) -> Option<&str> {
        self.of(release)?.target.get(target)?.linker.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join(SETTINGS), text).expect("writes");
        settings(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_of_a_profile_and_a_target() {
        let settings = of("toolchain = \"1.95\"\n[profile.release]\nflags = [\"--locked\"]\n\
             [profile.release.target.x]\nflags = [\"-v\"]\nlinker = \"ld\"\n")
        .expect("reads");
        assert_eq!(settings.flags(true, "x"), ["--locked", "-v"]);
        assert_eq!(settings.flags(true, "y"), ["--locked"]);
        assert_eq!(settings.flags(false, "x"), [] as [String; 0]);
        assert_eq!((settings.linker(true, "x"), settings.linker(true, "y")), (Some("ld"), None));
        assert_eq!(of("").expect("reads").flags(true, "x"), [] as [String; 0]);
    }

    #[test]
    fn what_means_nothing_is_refused_with_where() {
        for (text, message) in [
            ("toolchian = \"1\"", "line 1, column 1"),
            ("[profile.fast]", "there is no profile `fast`"),
            ("[profile.dev]\nflags = \"x\"", "line 2"),
            ("[prebuilt]\nurl = \"x\"", "missing field `keys`"),
        ] {
            let error = of(text).expect_err(text);
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn options_come_from_the_nearest_folder() {
        let folder = tempfile::tempdir().expect("folder");
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).expect("makes");
        assert!(options(&below).expect("none").use_prebuilt);
        std::fs::write(folder.path().join(OPTIONS), "use_prebuilt = false").expect("writes");
        assert!(!options(&below).expect("reads").use_prebuilt);
        std::fs::write(folder.path().join("a").join(OPTIONS), "verbose = true").expect("writes");
        assert!(options(&below).is_ok_and(|options| options.use_prebuilt && options.verbose));
    }
}
