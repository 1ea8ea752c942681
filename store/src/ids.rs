//! Ids as newtypes: UUIDs of version 7, so that they sort by time.

use crate::error::Error;
use longshore_workflow::names::{Digest, TenantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use uuid::Uuid;

/// A text that comes before the ids that are made at a time or later, in milliseconds since 1970, and after all others: ids
/// begin with their time, in hexadecimal.
pub(crate) fn first_id_of(ms: i64) -> String {
    let ms = ms.max(0);
    format!("{:08x}-{:04x}", ms >> 16, ms & 0xffff)
}

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

            /// When it was made, in milliseconds since 1970.
            pub fn time_ms(&self) -> i64 {
                let bytes = self.0.as_bytes();
                bytes[..6].iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte))
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

id!(
    /// An event that could not be taken, or a start that was refused.
    DeadLetterId,
    "dead letter"
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

/// The queue of a workflow's tasks: those of one digest, tenant and name. Rows have it as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct QueueId(i64);

impl QueueId {
    /// The queue of a workflow: the first bytes of a SHA-256 of its names, the same on every host.
    pub fn of(digest: &Digest, tenant: &TenantId, workflow: &str) -> Self {
        let mut hasher = Sha256::new();
        for name in [digest.as_str(), tenant.as_str(), workflow] {
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
        }
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hasher.finalize().into();
        Self(i64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The number in the database.
    pub fn get(self) -> i64 {
        self.0
    }
}
