//! Errors of runs.

use longshore_store::{DeadLetterId, Error as StoreError, RunId, TenantId};

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database failed.
    #[error("the run's database failed")]
    Store(#[from] StoreError),
    /// The start was not recorded.
    #[error("the run was not started: {message}")]
    NotRecorded {
        /// The code of the database's error.
        code: &'static str,
        /// Its text.
        message: String,
        /// The fix, as a sentence for the operator.
        fix: &'static str,
        /// True when the database will always refuse it.
        is_refusal: bool,
    },
    /// Nobody knows whether the start was recorded: the database broke off and did not come back in time.
    #[error("it is not known whether run {run} was started: {message}")]
    StartUnknown {
        /// The run that exists when it was.
        run: RunId,
        /// The text of the database's error.
        message: String,
    },
    /// Nobody has this workflow.
    #[error("no loaded package has a workflow `{workflow}` (tenant `{tenant}`)")]
    UnknownWorkflow {
        /// The tenant.
        tenant: TenantId,
        /// The workflow.
        workflow: String,
        /// The workflows there are.
        known: Vec<String>,
    },
    /// A required param was not given.
    #[error("workflow `{workflow}` needs the param `{param}` ({ty})")]
    MissingParam {
        /// The workflow.
        workflow: String,
        /// The param.
        param: String,
        /// Its type.
        ty: String,
    },
    /// A param was given that the workflow does not have.
    #[error("workflow `{workflow}` has no param `{param}`")]
    UnknownParam {
        /// The workflow.
        workflow: String,
        /// The param.
        param: String,
        /// The params there are.
        known: Vec<String>,
    },
    /// A param's value is not what its schema says.
    #[error("param `{param}` is not a {ty}: {message}")]
    BadParam {
        /// The param.
        param: String,
        /// Its type.
        ty: String,
        /// Where and why its value does not fit.
        message: String,
    },
    /// Several params are missing, unknown or wrong.
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    BadParams {
        /// Each of them.
        errors: Vec<Error>,
    },
    /// The start context is over the limit.
    #[error("the start context has {bytes} bytes, over the limit of {limit}")]
    ContextTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There is no such run.
    #[error("there is no run {run}")]
    UnknownRun {
        /// The run.
        run: RunId,
    },
    /// No loaded package has this reactor.
    #[error("no loaded package has a reactor `{reactor}`")]
    UnknownReactor {
        /// The reactor.
        reactor: String,
        /// The reactors there are.
        known: Vec<String>,
    },
    /// A reactor has no such source.
    #[error("reactor `{reactor}` has no source `{source_name}`")]
    UnknownSource {
        /// The reactor.
        reactor: String,
        /// The source.
        source_name: String,
        /// The sources there are.
        known: Vec<String>,
    },
    /// An event cannot be taken.
    #[error("`{source_name}`: {message}")]
    BadEvent {
        /// The source, or the reactor.
        source_name: String,
        /// The fault.
        message: String,
    },
    /// A reactor has no such dead letter.
    #[error("reactor `{reactor}` has no dead letter `{letter}`")]
    UnknownDeadLetter {
        /// The reactor.
        reactor: String,
        /// The id that was given.
        letter: String,
    },
    /// A dead letter does not hold all that came.
    #[error("dead letter {letter} of reactor `{reactor}` is incomplete and cannot be sent again")]
    IncompleteDeadLetter {
        /// The reactor.
        reactor: String,
        /// The letter.
        letter: DeadLetterId,
    },
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

impl Error {
    /// True when the same may go well later: the database is away, or the engine stops.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => !error.is_refusal() && !matches!(error, StoreError::BadRow { .. }),
            Self::StartUnknown { .. } | Self::Stopped => true,
            Self::NotRecorded { is_refusal, .. } => !is_refusal,
            _ => false,
        }
    }

    /// The stable code; `longshore explain` prints its page.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::NotRecorded { code, .. } => code,
            Self::UnknownDeadLetter { .. } => "LS0612",
            Self::IncompleteDeadLetter { .. } => "LS0613",
            Self::StartUnknown { .. } => "LS0609",
            Self::UnknownWorkflow { .. } => "LS0601",
            Self::MissingParam { .. }
            | Self::UnknownParam { .. }
            | Self::BadParam { .. }
            | Self::BadParams { .. } => "LS0602",
            Self::UnknownRun { .. } => "LS0603",
            Self::ContextTooLarge { .. } => "LS0604",
            Self::Stopped => "LS0605",
            Self::UnknownReactor { .. } => "LS0606",
            Self::UnknownSource { .. } => "LS0607",
            Self::BadEvent { .. } => "LS0608",
        }
    }

    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> String {
        match self {
            Self::Store(error) => error.fix().to_owned(),
            Self::NotRecorded { fix, .. } => (*fix).to_owned(),
            Self::StartUnknown { run, .. } => {
                format!(
                    "once the database is back, look with `longshore runs show {run}` before starting it again"
                )
            }
            Self::UnknownWorkflow { known, .. } if known.is_empty() => {
                "no workflow is loaded: see `longshore packages` for what was refused and why".into()
            }
            Self::UnknownWorkflow { known, .. } => format!("there are: {}", known.join(", ")),
            Self::MissingParam { param, .. } => format!("give it: --param {param}=.."),
            Self::UnknownParam { known, .. } if known.is_empty() => "it takes none".into(),
            Self::UnknownParam { known, .. } => format!("it takes: {}", known.join(", ")),
            Self::BadParams { errors } => {
                let mut fixes: Vec<String> = errors.iter().map(Self::fix).collect();
                fixes.dedup();
                fixes.join("; ")
            }
            Self::BadParam { .. } => "values are JSON; a text that is not JSON counts as a string".into(),
            Self::ContextTooLarge { .. } => "pass a reference (a path, a key) instead of the data".into(),
            Self::UnknownRun { .. } => "see `longshore runs list`".into(),
            Self::UnknownReactor { known, .. } if known.is_empty() => "no reactor is loaded".into(),
            Self::UnknownReactor { known, .. } | Self::UnknownSource { known, .. } => {
                format!("there are: {}", known.join(", "))
            }
            Self::BadEvent { .. } => "events are JSON of at most 1 MiB".into(),
            Self::UnknownDeadLetter { reactor, .. } => {
                format!("`longshore reactors show {reactor}` lists the newest")
            }
            Self::IncompleteDeadLetter { reactor, .. } => {
                format!(
                    "push the event itself (`longshore reactors push {reactor} SOURCE EVENT`), or start the workflow"
                )
            }
            Self::Stopped => "start it again; what it acknowledged is recorded".into(),
        }
    }
}
