//! Errors of registries.

use longshore_package::{Error as PackageError, PackageName};
use semver::Version;
use std::path::PathBuf;

/// An error of a library or of the system.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not that of a registry.
    #[error("`{address}` is not the address of a registry: {message}")]
    Address {
        /// The address, without a password.
        address: String,
        /// The fault.
        message: String,
        /// The schemes that are known.
        known: Vec<&'static str>,
    },
    /// A requirement does not read.
    #[error("`{text}` is not a requirement: {message}")]
    Requirement {
        /// The text.
        text: String,
        /// The fault.
        message: String,
    },
    /// The registry has no package of this name.
    #[error("{registry} has no package `{name}`")]
    NoPackage {
        /// The registry.
        registry: String,
        /// The name.
        name: PackageName,
    },
    /// No release fits a requirement.
    #[error("no release fits {requirement}: {message}")]
    NoRelease {
        /// The requirement.
        requirement: String,
        /// Alternatives in the index.
        message: String,
    },
    /// The release has no build for this target.
    #[error("{name} {version} has no build for {target}; it has {}", targets.join(", "))]
    NoBuild {
        /// The package.
        name: PackageName,
        /// The version.
        version: Version,
        /// The target triple.
        target: String,
        /// The builds there are.
        targets: Vec<String>,
    },
    /// The registry does not answer, breaks off, or answers with a fault.
    #[error("{registry} cannot be read")]
    Unreachable {
        /// The registry.
        registry: String,
        /// Cause.
        source: Cause,
    },
    /// The registry does not let this user in.
    #[error("{registry} refuses: {message}")]
    Denied {
        /// The registry.
        registry: String,
        /// Its answer.
        message: String,
    },
    /// The index is none, or contradicts itself.
    #[error("the index of `{name}` in {registry} does not read: {message}")]
    Index {
        /// The registry.
        registry: String,
        /// The package.
        name: PackageName,
        /// The fault.
        message: String,
    },
    /// The archive differs from its entry in the index.
    #[error("{registry} serves other bytes for {name} {version}: {message}")]
    OtherBytes {
        /// The registry.
        registry: String,
        /// The package.
        name: PackageName,
        /// The version.
        version: Version,
        /// The difference.
        message: String,
    },
    /// The version stands for another digest.
    #[error("{name} {version} is published already, with another digest")]
    VersionTaken {
        /// The package.
        name: PackageName,
        /// The version.
        version: Version,
    },
    /// The registry cannot be written to.
    #[error("{registry} is only read from")]
    ReadOnly {
        /// The registry.
        registry: String,
    },
    /// Others changed the index again and again.
    #[error("the index of `{name}` in {registry} is being changed by others")]
    Contended {
        /// The registry.
        registry: String,
        /// The package.
        name: PackageName,
    },
    /// A file of this machine cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Credentials do not read.
    #[error("the credentials in {place} do not read")]
    Credentials {
        /// The file or variable.
        place: String,
    },
    /// A release cannot be changed like this.
    #[error("{name} is not changed: {message}")]
    Edit {
        /// The package.
        name: PackageName,
        /// Reason of the refusal.
        message: String,
    },
    /// A package file does not read.
    #[error("the package file does not read")]
    Package(#[from] PackageError),
    /// The database failed.
    #[error("the registry's database failed")]
    Store(#[from] longshore_store::Error),
}

impl Error {
    /// The stable code; `longshore explain CODE` prints its page.
    pub fn code(&self) -> &str {
        match self {
            Self::Address { .. } => "LS0801",
            Self::Requirement { .. } => "LS0802",
            Self::NoPackage { .. } => "LS0803",
            Self::NoRelease { .. } => "LS0804",
            Self::NoBuild { .. } => "LS0805",
            Self::Unreachable { .. } => "LS0806",
            Self::Denied { .. } => "LS0807",
            Self::Index { .. } => "LS0808",
            Self::OtherBytes { .. } => "LS0809",
            Self::VersionTaken { .. } => "LS0810",
            Self::ReadOnly { .. } => "LS0811",
            Self::Contended { .. } => "LS0812",
            Self::File { .. } => "LS0813",
            Self::Credentials { .. } => "LS0814",
            Self::Edit { .. } => "LS0815",
            Self::Package(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    /// The fix, as a sentence for whoever asked.
    pub fn fix(&self) -> String {
        match self {
            Self::Address { message, .. } if message.contains("credentials") => {
                "leave them out: they come from LONGSHORE_REGISTRY_TOKEN_HOST, a netrc file, or the variables of the place".to_owned()
            }
            Self::Address { known, .. } => {
                format!("write a path, or an address that begins with {}", known.join(", "))
            }
            Self::Requirement { .. } => {
                "write NAME, NAME@1.2.0 for one version, NAME@^1 for a range, or NAME@stable for a channel".to_owned()
            }
            Self::NoPackage { .. } => "`longshore search` lists what a registry has".to_owned(),
            Self::NoRelease { .. } => "ask for something that is there, or have it published".to_owned(),
            Self::NoBuild { target, .. } => format!(
                "have it built for {target} as well (`longshore build --target {target}`), and published as a new version"
            ),
            Self::Unreachable { .. } => {
                "look at the address and the network, and try again; a new registry begins with an empty folder".to_owned()
            }
            Self::Denied { .. } => {
                "give credentials: LONGSHORE_REGISTRY_TOKEN_HOST, a netrc file, the environment of AWS, or `docker login`"
                    .to_owned()
            }
            Self::Index { .. } | Self::OtherBytes { .. } => {
                "tell whoever runs the registry; nothing of it was taken".to_owned()
            }
            Self::VersionTaken { .. } => "publish under a new version: a version stands for one digest".to_owned(),
            Self::ReadOnly { .. } => "publish to the place that it serves".to_owned(),
            Self::Contended { .. } => "try again".to_owned(),
            Self::File { .. } => "look at the rights of the file and the space on its disk".to_owned(),
            Self::Credentials { .. } => "mend that file, or leave it out".to_owned(),
            Self::Edit { .. } => "`longshore search NAME --releases` shows its versions and channels".to_owned(),
            Self::Package(error) => error.fix(),
            Self::Store(error) => error.fix().to_owned(),
        }
    }

    /// True of what may go away by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Contended { .. } | Self::Store(_))
    }
}
