//! Errors of loading packages.

use crate::plan::model::Origin;
use longshore_engine::DefinitionError;
use longshore_package::{Digest, Drift, Error as PackageError, PackageName};
use longshore_store::{Error as StoreError, error_chain};
use std::path::PathBuf;

/// A graph without the reactor that is to fire it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnboundGraph {
    /// The graph.
    pub graph: String,
    /// Its package.
    pub package: PackageName,
    /// The reactor.
    pub reactor: String,
}

/// Why a load step refuses a generation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Another package has a workflow of this name.
    #[error("package `{package}` has a workflow `{workflow}` already (tenant `{tenant}`)")]
    WorkflowTaken {
        /// The other package.
        package: PackageName,
        /// The workflow.
        workflow: String,
        /// The tenant.
        tenant: String,
    },
    /// Another package has a trigger of this name.
    #[error("another package has a trigger `{trigger}`")]
    TriggerTaken {
        /// The trigger.
        trigger: String,
    },
    /// Another package has a reactor of this name.
    #[error("package `{package}` has a reactor `{reactor}` already")]
    ReactorTaken {
        /// The other package.
        package: PackageName,
        /// The reactor.
        reactor: String,
    },
    /// No loaded package has the reactor of a graph: it may come with a package that is loaded later.
    #[error("graph `{graph}` is bound to reactor `{reactor}`, which no loaded package has")]
    NoReactor {
        /// The graph.
        graph: String,
        /// The reactor.
        reactor: String,
    },
    /// A graph takes a source that its reactor does not have.
    #[error(
        "graph `{graph}` of package `{package}` takes the source `{source_name}`, which reactor `{reactor}` does \
         not have; it has {}", known.join(", ")
    )]
    NoSource {
        /// The graph.
        graph: String,
        /// Its package.
        package: PackageName,
        /// The source.
        source_name: String,
        /// The reactor.
        reactor: String,
        /// The sources the reactor has.
        known: Vec<String>,
    },
    /// A package has two graphs of the same name that tasks call.
    #[error("the package has two graphs `{graph}` that tasks call")]
    DuplicateGraph {
        /// The graph.
        graph: String,
    },
    /// A step that an embedding program linked.
    #[error("{message}")]
    Other {
        /// Its stable code.
        code: &'static str,
        /// The obstacle.
        message: String,
        /// The fix, as a sentence for the operator.
        fix: String,
    },
}

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
        /// The drifts.
        drifts: Vec<Drift>,
        /// The package's Longshore version.
        sdk: String,
    },
    /// A library could not be written to the artifact cache.
    #[error("{} could not be written to the artifact cache", path.display())]
    CacheWrite {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
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

fn join(names: &[PackageName]) -> String {
    names.iter().map(PackageName::as_str).collect::<Vec<_>>().join(", ")
}

fn subscribers(graphs: &[UnboundGraph]) -> String {
    let one = |g: &UnboundGraph| {
        format!("graph `{}` of package `{}` is bound to reactor `{}`", g.graph, g.package, g.reactor)
    };
    graphs.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl StepError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WorkflowTaken { .. } => "LS0401",
            Self::TriggerTaken { .. } => "LS0402",
            Self::ReactorTaken { .. } => "LS0404",
            Self::NoReactor { .. } => "LS0405",
            Self::NoSource { .. } => "LS0406",
            Self::DuplicateGraph { .. } => "LS0409",
            Self::Other { code, .. } => code,
        }
    }

    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> &str {
        match self {
            Self::WorkflowTaken { .. } => "rename one of the workflows, or give one of them another tenant",
            Self::TriggerTaken { .. } => "rename one of the triggers",
            Self::ReactorTaken { .. } => "rename one of the reactors",
            Self::NoReactor { .. } => "load the package that has the reactor",
            Self::NoSource { .. } => "correct the source, or load the reactor's version that has it",
            Self::DuplicateGraph { .. } => "rename one of the graphs",
            Self::Other { fix, .. } => fix,
        }
    }
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
        )
    }

    /// True of a generation whose graph needs a reactor that no loaded package owns.
    pub(crate) fn lacks_reactor(&self) -> bool {
        matches!(self, Self::Step { error, .. } if matches!(**error, StepError::NoReactor { .. }))
    }

    /// The stable code; `longshore explain CODE` prints its page.
    pub fn code(&self) -> &str {
        match self {
            Self::Package(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Incompatible { drifts, .. } => drifts.first().map_or("LS0205", Drift::code),
            Self::CacheWrite { .. } => "LS0301",
            Self::ProbeStart { .. } | Self::ChildStart { .. } => "LS0302",
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
            Self::RolledBack { .. } => "LS0316",
            Self::TooManyGenerations { .. } => "LS0317",
            Self::Panicked { .. } => "LS0318",
            Self::ChildRefused { code, .. } => code,
            Self::Step { error, .. } => error.code(),
            Self::Superseded { .. } => "LS0403",
            Self::HasSubscribers { .. } => "LS0407",
            Self::ReactorCycle { .. } => "LS0408",
            Self::Unresolved { .. } => "LS0410",
            Self::ReactorRenamed { .. } => "LS0411",
        }
    }

    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> String {
        match self {
            Self::Package(error) => error.fix(),
            Self::Store(error) => error.fix().to_owned(),
            Self::Incompatible { drifts, .. } => {
                drifts.first().map(Drift::fix).unwrap_or_default().to_owned()
            }
            Self::Step { error, .. } => error.fix().to_owned(),
            other => other.own_fix().to_owned(),
        }
    }

    fn own_fix(&self) -> &'static str {
        match self {
            Self::CacheWrite { .. } => "make the host's home folder writable and give it space",
            Self::ProbeStart { .. } | Self::ChildStart { .. } => {
                "check that this host's own program file is still there"
            }
            Self::ProbeCrashed { .. } => {
                "a constructor, a static or a metadata call of the library crashes: run its tests, then build it again"
            }
            Self::ProbeHung { .. } => {
                "a constructor, a static or a metadata call of the library blocks: move that work into a task"
            }
            Self::Crashed { .. } | Self::ChildDied { .. } => {
                "read the crash report: `longshore packages show NAME`; the process is started again"
            }
            Self::CacheChanged { .. } => {
                "find out who writes to the host's cache folder; the library is cached again when the package is loaded again"
            }
            Self::Quarantined { .. } => "build the library anew: another digest is probed anew",
            Self::ChildRefused { .. } | Self::Load { .. } | Self::Answer { .. } => {
                "build it again with `longshore build` of this release"
            }
            Self::Panicked { .. } => "report this: it is a bug in Longshore; the package is tried again",
            Self::RecordMismatch { .. } => {
                "make sure every module with entries is linked (`use module as _;`), then build it again"
            }
            Self::Definition(_) => "correct the workflow, then build it again",
            Self::HasSubscribers { .. } => "remove those packages first, or keep the reactor",
            Self::ReactorCycle { .. } => "move the reactors into a package of their own",
            Self::ReactorRenamed { .. } => {
                "keep all workflows of the package in the tenant that they have, or give the reactor another name"
            }
            Self::Unresolved { .. } => {
                "correct the names, or load the package that has them; until then nothing is started for them"
            }
            Self::OtherPackage { .. } => "pack the archive again with `longshore build`",
            Self::Replaced { .. } => "nothing: it is read again at the next pass",
            Self::CacheMiss { .. } => {
                "put the package of that digest back, or give it up: cancel the runs that are pinned to it, or `longshore packages release NAME`"
            }
            Self::Superseded { .. } => "remove the older file",
            Self::Leaked { .. } => {
                "restart the host when it suits, or isolate the package (`isolation = \"process\"`)"
            }
            Self::RolledBack { .. } => "mend the package; another digest is loaded as soon as it is offered",
            Self::TooManyGenerations { .. } => {
                "cancel runs of old generations, or give them a drain deadline"
            }
            Self::Package(_) | Self::Store(_) | Self::Incompatible { .. } | Self::Step { .. } => "",
        }
    }

    /// The error and its causes in one line, for conditions and events.
    pub fn full(&self) -> String {
        error_chain(self)
    }
}
