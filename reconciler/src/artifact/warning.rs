//! Findings of the checks that do not keep a package from being loaded.

use crate::error::UNTRUSTED_FIX;
use longshore_package::Drift;
use std::fmt;

/// A finding that an operator is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A drift that does not make calls wrong.
    Drift(Drift),
    /// It lacks signatures, and the policy asks for no more than a warning.
    Untrusted {
        /// The missing signatures, then each signature with its status.
        reasons: Vec<String>,
    },
}

impl Warning {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Drift(drift) => drift.code(),
            Self::Untrusted { .. } => "LS0211",
        }
    }

    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Drift(drift) => drift.fix(),
            Self::Untrusted { .. } => UNTRUSTED_FIX,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drift(drift) => drift.fmt(f),
            Self::Untrusted { reasons } => f.write_str(&reasons.join("; ")),
        }
    }
}
