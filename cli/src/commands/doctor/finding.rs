//! A finding of the doctor.

use crate::error::coded;
use serde::Serialize;

/// The state of something that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// It works, and somebody may want to know.
    Warning,
    Fault,
}

/// A thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) subject: String,
    pub(super) state: State,
    pub(super) message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) code: String,
    /// The way to mend it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) fix: String,
}

impl Finding {
    pub(super) fn new(state: State, subject: &str, message: impl Into<String>) -> Self {
        let (subject, message) = (subject.to_owned(), message.into());
        Self { subject, state, message, code: String::new(), fix: String::new() }
    }

    pub(super) fn ok(subject: &str, message: impl Into<String>) -> Self {
        Self::new(State::Ok, subject, message)
    }

    pub(super) fn warning(subject: &str, message: impl Into<String>, fix: &str) -> Self {
        Self { fix: fix.to_owned(), ..Self::new(State::Warning, subject, message) }
    }

    pub(super) fn fault(subject: &str, error: &anyhow::Error) -> Self {
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        let (code, fix) = coded(error).unwrap_or_default();
        Self { code, fix, ..Self::new(State::Fault, subject, causes.join(": ")) }
    }

    /// A finding of something that was looked for.
    pub(super) fn of<T>(subject: &str, found: anyhow::Result<T>, message: impl FnOnce(T) -> String) -> Self {
        match found {
            Ok(found) => Self::ok(subject, message(found)),
            Err(error) => Self::fault(subject, &error),
        }
    }
}
