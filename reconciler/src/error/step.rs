//! Refusals of load steps.

use longshore_package::PackageName;

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
