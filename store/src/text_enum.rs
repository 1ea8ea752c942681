//! Enums that are words in the database, in JSON and on the command line.

/// Declares an enum and its words.
macro_rules! text_enum {
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

        $crate::text_enum::column!($name, |word: String| {
            let found = $name::ALL.iter().copied().find(|value| value.as_str() == word);
            found.ok_or($crate::error::UnknownWord(word))
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
pub(crate) use text_enum;
