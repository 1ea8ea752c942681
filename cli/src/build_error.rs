//! Errors of registries that are not named, of the settings of a build, and of builds that were made before.

use longshore_package::Digest;
use std::path::PathBuf;

/// An error of settings or of a build that was made before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("no registry is named")]
    NoRegistry,
    #[error("{} does not read: {message}", file.display())]
    Settings { file: PathBuf, message: String },
    #[error("{} has no [prebuilt]", path.display())]
    NoPrebuilt { path: PathBuf },
    #[error("{} cannot be read", path.display())]
    Source { path: PathBuf, source: std::io::Error },
    #[error("rustup, which provides the toolchain {toolchain}, is not installed")]
    NoRustup { toolchain: String },
    #[error("it is signed by nobody of {}", keys.display())]
    Unsigned { keys: PathBuf },
    #[error("it was not built from {}", content.short())]
    OfOther { content: Digest },
}

impl BuildError {
    /// The stable code; `longshore explain CODE` prints its page.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoRegistry => "LS0720",
            Self::Settings { .. } | Self::NoPrebuilt { .. } => "LS0721",
            Self::Source { .. } => "LS0717",
            Self::NoRustup { .. } => "LS0719",
            Self::Unsigned { .. } | Self::OfOther { .. } => "LS0722",
        }
    }

    /// The fix, as a sentence for whoever builds.
    pub(crate) fn fix(&self) -> &'static str {
        match self {
            Self::NoRegistry => "name one with --registry, or in the variable LONGSHORE_REGISTRY",
            Self::Settings { .. } => "correct it; `longshore explain LS0721` shows what it may say",
            Self::NoPrebuilt { .. } => {
                "say in longshore.toml where prebuilt packages lie: [prebuilt] url, keys"
            }
            Self::Source { .. } => "let this user read it, or move it out of the crate",
            Self::NoRustup { .. } => {
                "install rustup (https://rustup.rs), or take `toolchain` out of longshore.toml"
            }
            Self::Unsigned { .. } => "have it signed by somebody of that file",
            Self::OfOther { .. } => "tell whoever runs the registry",
        }
    }
}
