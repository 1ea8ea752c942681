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
    /// No loaded package has the trigger.
    #[error("no trigger `{trigger}`")]
    UnknownTrigger {
        /// The trigger.
        trigger: String,
        /// The triggers there are.
        known: Vec<String>,
    },
    /// An earlier run of a trigger that does not overlap is still going.
    #[error("trigger `{trigger}` does not fire: its earlier run is still going")]
    TriggerIsBusy {
        /// The trigger.
        trigger: String,
    },
    /// A request of another program does not read.
    #[error("the request does not read: {message}")]
    BadRequest {
        /// What is wrong.
        message: String,
    },
    /// An event cannot be taken.
    #[error("`{source_name}`: {message}")]
    BadEvent {
        /// The source.
        source_name: String,
        /// The fault.
        message: String,
    },
    /// A sequential reactor was asked to fire without an input.
    #[error("reactor `{reactor}` is sequential: it fires once for each of its inputs, and not for values")]
    Sequential {
        /// The reactor.
        reactor: String,
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
            Self::UnknownTrigger { .. } => "LS0614",
            Self::TriggerIsBusy { .. } => "LS0615",
            Self::BadRequest { .. } => "LS0616",
            Self::Sequential { .. } => "LS0617",
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
            Self::UnknownWorkflow { workflow, known, .. } => suggestion(workflow, known),
            Self::MissingParam { param, .. } => format!("give it: --param {param}=.."),
            Self::UnknownParam { known, .. } if known.is_empty() => "it takes none".into(),
            Self::UnknownParam { param, known, .. } => suggestion(param, known),
            Self::BadParams { errors } => {
                let mut fixes: Vec<String> = errors.iter().map(Self::fix).collect();
                fixes.dedup();
                fixes.join("; ")
            }
            Self::BadParam { .. } => {
                "a value is read as the type of its param: a text for a `String`, JSON otherwise".into()
            }
            Self::ContextTooLarge { .. } => "pass a reference (a path, a key) instead of the data".into(),
            Self::UnknownRun { .. } => "see `longshore runs list`".into(),
            Self::UnknownReactor { known, .. } if known.is_empty() => "no reactor is loaded".into(),
            Self::UnknownReactor { reactor: name, known }
            | Self::UnknownSource { source_name: name, known, .. } => suggestion(name, known),
            Self::UnknownTrigger { known, .. } if known.is_empty() => {
                "no loaded package has a trigger".into()
            }
            Self::UnknownTrigger { trigger, known } => suggestion(trigger, known),
            Self::TriggerIsBusy { trigger } => format!(
                "wait for it or cancel it (`longshore runs list --state running`), or let `{trigger}` allow_concurrent"
            ),
            Self::BadRequest { .. } => "make it with a `longshore` of the version of the host".into(),
            Self::BadEvent { .. } => "events are JSON of at most 1 MiB".into(),
            Self::Sequential { reactor } => {
                format!("push an event: `longshore reactors push {reactor} SOURCE EVENT`")
            }
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

/// Names that are listed at most.
const MAX_NAMES: usize = 20;

/// The names that there are as advice, the one that may be meant first, and at most twenty.
pub fn suggestion(written: &str, known: &[String]) -> String {
    let distance = |name: &&String| strsim::damerau_levenshtein(written, name);
    let nearest = known.iter().min_by_key(distance).filter(|name| distance(name) <= 1 + name.len() / 4);
    let meant = nearest.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    let listed = &known[..known.len().min(MAX_NAMES)];
    let more = known.len() - listed.len();
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{meant}there are: {}{rest}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_may_be_meant_comes_first_and_few_are_listed() {
        let known: Vec<String> = ["city", "days"].map(String::from).into();
        assert_eq!(suggestion("citi", &known), "did you mean `city`? there are: city, days");
        assert_eq!(suggestion("nothing", &known), "there are: city, days");
        let many: Vec<String> = (0..25).map(|n| format!("workflow{n}")).collect();
        assert!(suggestion("x", &many).ends_with("workflow19 and 5 more"));
    }
}
