//! Reading rows.

use crate::error::Error;
use longshore_workflow::names::{Digest, NotADigest};
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

/// A column of a row of a query of ours.
pub(crate) fn get<'r, T>(row: &'r AnyRow, column: &'static str) -> Result<T, Error>
where
    T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>,
{
    row.try_get(column).map_err(|e| Error::of("read a column", e))
}

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

/// The digest in a row's `digest` column.
pub(crate) fn digest_of(row: &AnyRow, table: &'static str) -> Result<Digest, Error> {
    let text: String = get(row, "digest")?;
    Digest::try_from(text).map_err(|NotADigest(text)| Error::BadRow {
        table,
        key: text.clone(),
        column: "digest".into(),
        value: text,
    })
}

/// A column with a digest or NULL.
pub(crate) struct NullableDigest(Option<Digest>);

impl From<NullableDigest> for Option<Digest> {
    fn from(NullableDigest(digest): NullableDigest) -> Self {
        digest
    }
}

impl sqlx::Type<sqlx::Any> for NullableDigest {
    fn type_info() -> sqlx::any::AnyTypeInfo {
        <String as sqlx::Type<sqlx::Any>>::type_info()
    }
}

impl<'r> sqlx::Decode<'r, sqlx::Any> for NullableDigest {
    fn decode(value: sqlx::any::AnyValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        let text = <Option<String> as sqlx::Decode<'r, sqlx::Any>>::decode(value)?;
        Ok(Self(text.map(Digest::try_from).transpose()?))
    }
}
