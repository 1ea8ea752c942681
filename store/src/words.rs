//! Enums that are words in the database, in JSON and on the command line.

use crate::error::Error;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

/// A word that no variant has.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of the words this column takes")]
pub struct UnknownWord(pub String);

/// Declares an enum and its words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the database, in JSON and on the command line.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        $crate::words::column!($name, |word: String| {
            let found = $name::ALL.iter().copied().find(|value| value.as_str() == word);
            found.ok_or($crate::words::UnknownWord(word))
        });
    };
}

/// Makes a type one that stands as text in a column.
macro_rules! column {
    ($name:ident, $read:expr) => {
        impl sqlx::Type<sqlx::Any> for $name {
            fn type_info() -> sqlx::any::AnyTypeInfo {
                <String as sqlx::Type<sqlx::Any>>::type_info()
            }
        }

        impl<'r> sqlx::Decode<'r, sqlx::Any> for $name {
            fn decode(value: sqlx::any::AnyValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                let read = $read;
                Ok(read(<String as sqlx::Decode<'r, sqlx::Any>>::decode(value)?)?)
            }
        }
    };
}

pub(crate) use column;

pub(crate) use words;

/// Rows to what they stand for. One that does not read is named by the value of its `key` column.
pub(crate) fn read_rows<T>(table: &'static str, key: &'static str, rows: &[AnyRow]) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, AnyRow>,
{
    let read = |row: &AnyRow| {
        T::from_row(row).map_err(|error| {
            let name = row.try_get::<String, _>(key).unwrap_or_default();
            Error::undecodable(table, name, error)
        })
    };
    rows.iter().map(read).collect()
}
