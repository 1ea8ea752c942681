//! Errors of loading packages.

mod fix;
mod step;

pub(crate) use fix::UNTRUSTED_FIX;
pub use step::{StepError, UnboundGraph};

use crate::plan::model::Origin;
use longshore_engine::DefinitionError;
use longshore_package::{Digest, Drift, Error as PackageError, PackageName};
use longshore_registry::Error as RegistryError;
use longshore_store::{Error as StoreError, error_chain};
use std::path::PathBuf;

/// The code of [`Error::SourceLost`], by which a host that is started again finds the sources that had lost everything.
pub(crate) const SOURCE_LOST: &str = "LS0323";

/// The code of a version that was rolled back.
pub(crate) const ROLLED_BACK: &str = "LS0316";

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
    /// A registry did not give what was asked for.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The release that this host stays at is yanked, and nothing newer takes its place.
    #[error("{name} {version}, which this host stays at, is yanked: {reason}")]
    ReleaseYanked {
        /// The package.
        name: PackageName,
        /// The version.
        version: String,
        /// Reason of the yank.
        reason: String,
    },
    /// The release that this host stays at is not in its registry any more, and nothing newer takes its place.
    #[error("{name} {version}, which this host stays at, is not in {registry} any more")]
    ReleaseGone {
        /// The package.
        name: PackageName,
        /// The version.
        version: String,
        /// The registry.
        registry: String,
    },
    /// The registry gives a version another digest than the one that this host took in.
    #[error("{registry} gives {name} {version} another digest than the one that this host took in")]
    ReleaseReplaced {
        /// The package.
        name: PackageName,
        /// The version.
        version: String,
        /// The registry.
        registry: String,
    },
    /// This host cannot call it.
    #[error("{}", drifts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Incompatible {
        /// The drifts.
        drifts: Vec<Drift>,
        /// The package's Longshore version.
        sdk: String,
    },
    /// It lacks signatures that the trust policy requires.
    #[error("the package is not trusted: {}", reasons.join("; "))]
    Untrusted {
        /// The missing signatures, then each signature with its status.
        reasons: Vec<String>,
    },
    /// The trust policy does not read.
    #[error("the trust policy cannot be used: no package is loaded meanwhile")]
    TrustPolicy {
        /// The fault.
        source: PackageError,
    },
    /// A version that is lower than the one that was accepted before.
    #[error("version {offered} is lower than {accepted}, which this host has run before")]
    Downgrade {
        /// The version that is offered.
        offered: String,
        /// The version that was accepted last.
        accepted: String,
    },
    /// A library could not be written to the artifact cache.
    #[error("{} could not be written to the artifact cache", path.display())]
    CacheWrite {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A library could not be read from the artifact cache.
    #[error("{} could not be read from the artifact cache", path.display())]
    CacheRead {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A source lost all of its packages at once.
    #[error("{} lost all of its {packages} packages at once: they stay as they are", path.display())]
    SourceLost {
        /// The source.
        path: PathBuf,
        /// The packages that it had.
        packages: usize,
    },
    /// A source has more files than are read.
    #[error("{files} files of {} are not read, {} the first of them: {limit} is the limit", path.display(), first.display())]
    TooManyFiles {
        /// The source.
        path: PathBuf,
        /// The number of those that are not read.
        files: usize,
        /// The first of them.
        first: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// The name of a file is not text.
    #[error("its name is not UTF-8")]
    FileName,
    /// A file or a folder of a source could not be looked at.
    #[error("it could not be looked at")]
    SourceUnreadable {
        /// The system's error.
        source: std::io::Error,
    },
    /// The library does not come back from its constructors, or from the questions about its entries.
    #[error("opening it took more than {seconds} s{}", if *in_constructor { ", in a constructor of the library" } else { ", in what declares its entries" })]
    OpenHung {
        /// The limit.
        seconds: u64,
        /// True when the dynamic linker was not through with it.
        in_constructor: bool,
    },
    /// A constructor of another package holds the dynamic linker.
    #[error(
        "a constructor of package `{by}` does not return: no library can be opened in this process meanwhile"
    )]
    LinkerHeld {
        /// The other package.
        by: PackageName,
    },
    /// A thread for the package could not be started.
    #[error("no thread could be started for the package")]
    NoThread {
        /// The system's error.
        source: std::io::Error,
    },
    /// The program of children is not of this host's build.
    #[error("the program of the package's process is another build ({theirs}) than this host ({ours})")]
    OtherBuild {
        /// This host's build.
        ours: String,
        /// The program's build; empty when it does not say.
        theirs: String,
    },
    /// The probe's process could not be started.
    #[error("the probe could not be started")]
    ProbeStart {
        /// The system's error.
        source: std::io::Error,
    },
    /// The probe crashed.
    #[error("the library crashed its probe: {exit}")]
    ProbeCrashed {
        /// Signal or exit status, and the end of its output.
        exit: String,
        /// True when the library caused it; an end from outside, or for want of memory, says nothing about it.
        by_library: bool,
    },
    /// The probe did not end.
    #[error("the library did not answer its probe within {seconds} s")]
    ProbeHung {
        /// The limit.
        seconds: u64,
    },
    /// A probe, or the process of an isolated package, refused the library.
    #[error("{message}")]
    ChildRefused {
        /// Its code.
        code: String,
        /// Its message.
        message: String,
    },
    /// The process of an isolated package could not be started.
    #[error("the package's process could not be started")]
    ChildStart {
        /// The system's error.
        source: std::io::Error,
    },
    /// The process of an isolated package ended before it had opened its library.
    #[error("the package's process ended while it opened its library: {exit}")]
    ChildDied {
        /// Signal or exit status, and the end of its output.
        exit: String,
    },
    /// The process of an isolated package ended.
    #[error("PackageCrashed: {exit}")]
    Crashed {
        /// Signal or exit status, and the end of its output.
        exit: String,
    },
    /// A cached library is not the file that was verified.
    #[error("{} was changed in the artifact cache after it was verified", path.display())]
    CacheChanged {
        /// The file.
        path: PathBuf,
    },
    /// A probe of this digest failed before.
    #[error("quarantined: {code} {message}")]
    Quarantined {
        /// The code of the probe's refusal.
        code: String,
        /// Its message.
        message: String,
    },
    /// The library did not open, or is not a Longshore package.
    #[error("the library did not load: {message}")]
    Load {
        /// The loader's message.
        message: String,
    },
    /// Work of the host itself panicked.
    #[error("the host panicked over this package: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The library's entries are not those of its static record.
    #[error("the library is not what its static record says: {}", differences.join("; "))]
    RecordMismatch {
        /// The differences.
        differences: Vec<String>,
    },
    /// A method's answer does not decode.
    #[error("`{method}` answered what does not decode: {message}")]
    Answer {
        /// The method.
        method: &'static str,
        /// The fault of the answer.
        message: String,
    },
    /// Its workflows make no sense.
    #[error("its workflows make no sense")]
    Definition(#[from] DefinitionError),
    /// A load step refused it.
    #[error("load step {step} ({name}): {error}")]
    Step {
        /// The number of the step, 1 to 6.
        step: u8,
        /// The name of the step.
        name: &'static str,
        /// Why.
        error: Box<StepError>,
    },
    /// Graphs of other packages are bound to a reactor that would go.
    #[error("{}", subscribers(graphs))]
    HasSubscribers {
        /// The graphs.
        graphs: Vec<UnboundGraph>,
    },
    /// Packages need each other's reactors.
    #[error("packages {} need each other's reactors: {message}", join(packages))]
    ReactorCycle {
        /// The packages.
        packages: Vec<PackageName>,
        /// The reactor that this one needs.
        message: String,
    },
    /// The next version of a package has one of its reactors under another tenant.
    #[error("reactor `{before}` would become `{after}`, and start without what is recorded of it")]
    ReactorRenamed {
        /// Its name on the host.
        before: String,
        /// Its name with this version.
        after: String,
    },
    /// Entries of a loaded package name what no loaded package has.
    #[error("no loaded package has what these name: {}", names.join("; "))]
    Unresolved {
        /// Which entry names what.
        names: Vec<String>,
    },
    /// The manifest speaks of another package than the library's record.
    #[error("the manifest says `{manifest}`, the library's record says `{record}`")]
    OtherPackage {
        /// Name and version in the manifest.
        manifest: String,
        /// Name and version in the record.
        record: String,
    },
    /// The file was replaced while it was read.
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
        /// Their number.
        generations: usize,
        /// Their mapped bytes.
        bytes: u64,
        /// True when the package is isolated from now on.
        isolated: bool,
    },
    /// A generation that replaced another did not hold up.
    #[error("rolled back: {reason}")]
    RolledBack {
        /// Why.
        reason: String,
    },
    /// A digest is not in the artifact cache, or not as it was verified.
    #[error("digest {digest} cannot be loaded from the artifact cache: {message}")]
    CacheMiss {
        /// The digest.
        digest: Digest,
        /// Why.
        message: String,
    },
    /// Two files carry the same package.
    #[error("`{name}` is also in {winner}, which is newer")]
    Superseded {
        /// The package.
        name: PackageName,
        /// The origin of the one that counts.
        winner: Origin,
    },
}

/// Texts of the system and of the standard library about a machine that is short of something.
const SHORTAGES: [&str; 6] = [
    "Too many open files",
    "Cannot allocate memory",
    "memory allocation of",
    "Resource temporarily unavailable",
    "No space left on device",
    "failed to map segment",
];

/// True of a message about a machine, or a limit, that is short of something: another time there may be enough.
pub(crate) fn is_shortage(text: &str) -> bool {
    SHORTAGES.iter().any(|shortage| text.contains(shortage))
}

fn join(names: &[PackageName]) -> String {
    names.iter().map(PackageName::as_str).collect::<Vec<_>>().join(", ")
}

fn subscribers(graphs: &[UnboundGraph]) -> String {
    let one = |g: &UnboundGraph| {
        format!("graph `{}` of package `{}` is bound to reactor `{}`", g.graph, g.package, g.reactor)
    };
    graphs.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// True of a package's process that ended or does not start: not a failure of the task that was to run there.
    pub(crate) fn is_process_failure(&self) -> bool {
        matches!(
            self,
            Self::Crashed { .. }
                | Self::ChildStart { .. }
                | Self::ChildDied { .. }
                | Self::ChildRefused { .. }
                | Self::CacheChanged { .. }
                | Self::OtherBuild { .. }
                | Self::NoThread { .. }
        )
    }

    /// True of a refusal that says something about the library: another probe in the same environment would find the same.
    pub(crate) fn is_verdict(&self) -> bool {
        match self {
            Self::ProbeCrashed { by_library, .. } => *by_library,
            Self::ChildRefused { code, message } => {
                matches!(code.as_str(), "LS0306" | "LS0307" | "LS0308" | "LS0309") && !is_shortage(message)
            }
            _ => false,
        }
    }

    /// True of a refusal that another package may end, which comes, goes or changes.
    pub(crate) fn depends_on_others(&self) -> bool {
        match self {
            Self::Step { error, .. } => {
                !matches!(**error, StepError::DuplicateGraph { .. } | StepError::Other { .. })
            }
            Self::HasSubscribers { .. } | Self::ReactorCycle { .. } => true,
            _ => false,
        }
    }

    /// The stable code; `longshore explain CODE` prints its page.
    pub fn code(&self) -> &str {
        match self {
            Self::Package(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Registry(error) => error.code(),
            Self::ReleaseYanked { .. } | Self::ReleaseGone { .. } => "LS0816",
            Self::ReleaseReplaced { .. } => "LS0810",
            Self::Incompatible { drifts, .. } => drifts.first().map_or("LS0205", Drift::code),
            Self::TrustPolicy { source } => source.code(),
            Self::Untrusted { .. } => "LS0211",
            Self::Downgrade { .. } => "LS0212",
            Self::CacheWrite { .. } | Self::CacheRead { .. } => "LS0301",
            Self::ProbeStart { .. } | Self::ChildStart { .. } | Self::NoThread { .. } => "LS0302",
            Self::ProbeCrashed { .. } => "LS0303",
            Self::ProbeHung { .. } => "LS0304",
            Self::Quarantined { .. } => "LS0305",
            Self::Load { .. } => "LS0306",
            Self::RecordMismatch { .. } => "LS0307",
            Self::Answer { .. } => "LS0308",
            Self::Definition(_) => "LS0309",
            Self::OtherPackage { .. } => "LS0310",
            Self::Replaced { .. } => "LS0311",
            Self::CacheMiss { .. } => "LS0312",
            Self::Crashed { .. } | Self::ChildDied { .. } => "LS0313",
            Self::CacheChanged { .. } => "LS0314",
            Self::Leaked { .. } => "LS0315",
            Self::RolledBack { .. } => ROLLED_BACK,
            Self::TooManyGenerations { .. } => "LS0317",
            Self::Panicked { .. } => "LS0318",
            Self::OtherBuild { .. } => "LS0321",
            Self::OpenHung { .. } | Self::LinkerHeld { .. } => "LS0322",
            Self::SourceLost { .. } => SOURCE_LOST,
            Self::TooManyFiles { .. } => "LS0324",
            Self::FileName => "LS0325",
            Self::SourceUnreadable { .. } => "LS0326",
            Self::ChildRefused { code, .. } => code,
            Self::Step { error, .. } => error.code(),
            Self::Superseded { .. } => "LS0403",
            Self::HasSubscribers { .. } => "LS0407",
            Self::ReactorCycle { .. } => "LS0408",
            Self::Unresolved { .. } => "LS0410",
            Self::ReactorRenamed { .. } => "LS0411",
        }
    }

    /// The error and its causes in one line, for conditions and events.
    pub fn full(&self) -> String {
        error_chain(self)
    }
}
