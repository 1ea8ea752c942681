//! What can go wrong with taking a package in.

use crate::steps::Orphan;
use crate::wanted::Origin;
use longshore_engine::DefinitionError;
use longshore_package::{Drift, Error as PackageError};
use longshore_store::Error as StoreError;
use std::path::PathBuf;

/// The code of [`Error::Changed`]: a child gives it too, as text.
pub(crate) const CHANGED: &str = "LS0314";

/// Why a package is not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its file does not read.
    #[error("the package file was refused")]
    Package(#[from] PackageError),
    /// The database failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// This host cannot call it.
    #[error("{}", drifts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Incompatible {
        /// What differs.
        drifts: Vec<Drift>,
        /// The package's Longshore version.
        sdk: String,
    },
    /// The private copy could not be made.
    #[error("the private copy {} could not be made", path.display())]
    Copy {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The probe's process could not be started.
    #[error("the probe could not be started")]
    ProbeStart {
        /// What the system said.
        source: std::io::Error,
    },
    /// The probe crashed.
    #[error("the library crashed its probe: {how}")]
    ProbeCrashed {
        /// Signal or exit status, and the end of what it printed.
        how: String,
    },
    /// The probe did not end.
    #[error("the library did not answer its probe within {seconds} s")]
    ProbeHung {
        /// The limit.
        seconds: u64,
    },
    /// The probe found something.
    #[error("{message}")]
    ProbeRefused {
        /// The code it gave.
        code: String,
        /// What it found.
        message: String,
    },
    /// The process of an isolated package could not be started.
    #[error("the package's process could not be started")]
    ChildStart {
        /// What the system said.
        source: std::io::Error,
    },
    /// The process of an isolated package ended.
    #[error("PackageCrashed: {how}")]
    Crashed {
        /// Signal or exit status, and the end of what it printed.
        how: String,
    },
    /// The private copy is not the file that was checked.
    #[error("the private copy {} was changed after it was checked", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A probe of this digest failed before.
    #[error("quarantined: {message}")]
    Quarantined {
        /// What the probe said then.
        message: String,
    },
    /// The library did not open, or is no Longshore package.
    #[error("the library did not load: {message}")]
    Load {
        /// What the loader said.
        message: String,
    },
    /// The library's entries are not those of its static record.
    #[error("the library is not what its static record says: {}", differences.join("; "))]
    RecordMismatch {
        /// What differs.
        differences: Vec<String>,
    },
    /// What it answered does not decode.
    #[error("`{method}` answered what does not decode: {message}")]
    Answer {
        /// The method.
        method: &'static str,
        /// What is wrong.
        message: String,
    },
    /// Its workflows make no sense.
    #[error("its workflows make no sense")]
    Definition(#[from] DefinitionError),
    /// A load step failed.
    #[error("load step {step} ({name}): {message}")]
    Step {
        /// Its number, 1 to 6.
        step: u8,
        /// Its name.
        name: &'static str,
        /// What is wrong.
        message: String,
        /// The code.
        code: &'static str,
    },
    /// Graphs of other packages are bound to a reactor that would go.
    #[error("{}", subscribers(orphans))]
    HasSubscribers {
        /// Which.
        orphans: Vec<Orphan>,
    },
    /// Packages need each other's reactors.
    #[error("packages {} need each other's reactors: {message}", packages.join(", "))]
    ReactorCycle {
        /// Which packages.
        packages: Vec<String>,
        /// What this one needs.
        message: String,
    },
    /// The manifest speaks of another package than the library's record.
    #[error("the manifest says `{manifest}`, the library's record says `{record}`")]
    OtherPackage {
        /// Name and version in the manifest.
        manifest: String,
        /// Name and version in the record.
        record: String,
    },
    /// The file was replaced while it was looked at.
    #[error("{} was replaced while it was read", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A package has too many generations open.
    #[error("{limit} generations of the package are open, the limit; runs still use the old ones")]
    TooManyGenerations {
        /// The limit.
        limit: usize,
    },
    /// Libraries stay mapped after they were closed.
    #[error("{generations} closed libraries stay mapped, {bytes} bytes{}", if *isolated { "; from now on the package gets a process of its own" } else { "" })]
    Leaked {
        /// How many.
        generations: usize,
        /// How much of them.
        bytes: u64,
        /// Whether the package is isolated from now on.
        isolated: bool,
    },
    /// What replaced another did not hold up.
    #[error("rolled back: {why}")]
    Unhealthy {
        /// What was seen.
        why: String,
    },
    /// Runs are pinned to a digest that is nowhere.
    #[error("digest {digest} cannot be loaded from the private copy: {message}")]
    NoCopy {
        /// The digest.
        digest: String,
        /// Why not.
        message: String,
    },
    /// Two files carry the same package.
    #[error("`{name}` is also in {winner}, which is newer")]
    Superseded {
        /// The package.
        name: String,
        /// The place of the one that counts.
        winner: Origin,
    },
}

fn subscribers(orphans: &[Orphan]) -> String {
    let one = |o: &Orphan| {
        format!("graph `{}` of package `{}` is bound to reactor `{}`", o.graph, o.package, o.reactor)
    };
    orphans.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// The stable code; docs/errors.md has a page for each.
    pub fn code(&self) -> &str {
        match self {
            Self::Package(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Incompatible { drifts, .. } => drifts.first().map_or("LS0205", Drift::code),
            Self::Copy { .. } => "LS0301",
            Self::ProbeStart { .. } | Self::ChildStart { .. } => "LS0302",
            Self::Crashed { .. } => "LS0313",
            Self::Changed { .. } => CHANGED,
            Self::ProbeCrashed { .. } => "LS0303",
            Self::ProbeHung { .. } => "LS0304",
            Self::ProbeRefused { code, .. } => code,
            Self::Quarantined { .. } => "LS0305",
            Self::Load { .. } => "LS0306",
            Self::RecordMismatch { .. } => "LS0307",
            Self::Answer { .. } => "LS0308",
            Self::Definition(_) => "LS0309",
            Self::Step { code, .. } => code,
            Self::HasSubscribers { .. } => "LS0407",
            Self::ReactorCycle { .. } => "LS0408",
            Self::OtherPackage { .. } => "LS0310",
            Self::Replaced { .. } => "LS0311",
            Self::NoCopy { .. } => "LS0312",
            Self::Superseded { .. } => "LS0403",
            Self::Leaked { .. } => "LS0315",
            Self::Unhealthy { .. } => "LS0316",
            Self::TooManyGenerations { .. } => "LS0317",
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Package(error) => error.fix(),
            Self::Store(error) => error.fix().to_owned(),
            Self::Incompatible { drifts, .. } => drifts.first().map(Drift::fix).unwrap_or_default().to_owned(),
            Self::Copy { .. } => "make the host's home folder writable and give it space".into(),
            Self::Crashed { .. } => {
                "look at the crash report: `longshore packages show NAME`; the process is started again".into()
            }
            Self::Changed { .. } => "find out who writes to the host's cache folder; the copy is made again when the package is loaded again".into(),
            Self::ProbeStart { .. } | Self::ChildStart { .. } => "check that this host's own program file is still there".into(),
            Self::ProbeCrashed { .. } => {
                "a constructor, a static or a metadata call of the library crashes: run its tests, then build it again".into()
            }
            Self::ProbeHung { .. } => {
                "a constructor, a static or a metadata call of the library blocks: move that work into a task".into()
            }
            Self::Quarantined { .. } => "a changed library has another digest and is probed anew".into(),
            Self::ProbeRefused { .. } | Self::Load { .. } | Self::Answer { .. } => {
                "build it again with `longshore build` of this release".into()
            }
            Self::RecordMismatch { .. } => {
                "make sure every module with entries is linked (`use module as _;`), then build it again".into()
            }
            Self::Definition(_) => "correct the workflow, then build it again".into(),
            Self::Step { code: "LS0401", .. } => "rename one of the workflows, or give one of them another tenant".into(),
            Self::Step { code: "LS0402", .. } => "rename one of the triggers".into(),
            Self::Step { code: "LS0404", .. } => "rename one of the reactors".into(),
            Self::Step { code: "LS0405", .. } => "load the package that has the reactor".into(),
            Self::Step { code: "LS0406", .. } => "correct the source, or load the reactor's version that has it".into(),
            Self::Step { .. } => "rename one of the graphs".into(),
            Self::HasSubscribers { .. } => "remove those packages first, or keep the reactor".into(),
            Self::ReactorCycle { .. } => "move the reactors into a package of their own".into(),
            Self::OtherPackage { .. } => "pack the archive again with `longshore build`".into(),
            Self::Replaced { .. } => "nothing: it is read again at the next pass".into(),
            Self::NoCopy { .. } => {
                "put the package of that digest back, or let go of it: cancel the runs that are pinned to it, or `longshore packages release NAME`".into()
            }
            Self::Superseded { .. } => "remove the older file".into(),
            Self::Leaked { .. } => {
                "restart the host when it suits, or isolate the package (`isolation = \"process\"`)".into()
            }
            Self::Unhealthy { .. } => {
                "mend the package; another digest is loaded as soon as it is offered".into()
            }
            Self::TooManyGenerations { .. } => {
                "cancel runs of old generations, or give them a drain deadline".into()
            }
        }
    }

    /// The error and its causes in one line, for conditions and events.
    pub fn full(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
