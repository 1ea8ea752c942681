//! Ids as newtypes: UUIDs of version 7, so that they sort by time.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $what:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A new id.
            #[expect(clippy::new_without_default, reason = "a new id is not a default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Reads the hyphenated form.
            ///
            /// # Errors
            /// [`Error::BadId`] with the text.
            pub fn parse(text: &str) -> Result<Self, Error> {
                Uuid::try_parse(text).map(Self).map_err(|_| Error::BadId { what: $what, text: text.to_owned() })
            }

            /// The sixteen bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                Self::parse(&text)
            }
        }

        crate::text_enum::column!($name, |text: String| $name::parse(&text));
    };
}

id!(
    /// A run of a workflow.
    RunId,
    "run"
);

id!(
    /// A process that runs an engine, from start to end.
    HostId,
    "host"
);

id!(
    /// A digest loaded by a host, from load to unload.
    GenerationId,
    "generation"
);

/// Ends a lease, and nothing else: an outcome whose token is not the one in the task's row changes nothing. Tokens
/// of a database grow with each claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct FencingToken(i64);

impl FencingToken {
    /// A token with this number.
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number in the database.
    pub fn get(self) -> i64 {
        self.0
    }

    /// The token of the next claim.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
