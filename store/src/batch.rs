//! Statements over many rows at once, the same text on both databases.

use crate::open::Tx;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

/// Most rows of one statement: 65,535 parameters (PostgreSQL's wire limit) over the widest row we write.
pub(crate) const MAX_ROWS: usize = 1024;

/// A parameter of a row.
#[derive(Debug, Clone)]
pub(crate) enum Param {
    Text(String),
    MaybeText(Option<String>),
    Int(i64),
    MaybeInt(Option<i64>),
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Param {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Option<String>> for Param {
    fn from(text: Option<String>) -> Self {
        Self::MaybeText(text)
    }
}

impl From<i64> for Param {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<Option<i64>> for Param {
    fn from(number: Option<i64>) -> Self {
        Self::MaybeInt(number)
    }
}

impl Param {
    fn sql_type(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::MaybeText(_) => "TEXT",
            Self::Int(_) | Self::MaybeInt(_) => "BIGINT",
        }
    }
}

/// Binds a parameter.
pub(crate) fn bind<'q>(query: Query<'q, Any, AnyArguments>, param: Param) -> Query<'q, Any, AnyArguments> {
    match param {
        Param::Text(text) => query.bind(text),
        Param::MaybeText(text) => query.bind(text),
        Param::Int(number) => query.bind(number),
        Param::MaybeInt(number) => query.bind(number),
    }
}

/// `(CAST($1 AS TEXT), CAST($2 AS BIGINT)), (..)` for rows, numbered from `$1`.
///
/// The casts are for PostgreSQL, which takes the type of a parameter from where it stands. The number of rows
/// is padded to a power of two by repeating the last row, so that a connection prepares few texts: both
/// databases update a target once, however many rows of `FROM` match it.
pub(crate) struct Rows {
    pub(crate) values: String,
    params: Vec<Param>,
}

impl Rows {
    pub(crate) fn padded(mut rows: Vec<Vec<Param>>) -> Self {
        if let Some(last) = rows.last().cloned() {
            rows.resize(rows.len().next_power_of_two(), last);
        }
        Self::exact(rows)
    }

    /// As many rows as there are: for inserts, where a row that stands twice is two rows.
    pub(crate) fn exact(rows: Vec<Vec<Param>>) -> Self {
        use std::fmt::Write;
        let mut values = String::with_capacity(rows.len() * rows.first().map_or(0, Vec::len) * 22);
        let mut number = 0;
        for (i, row) in rows.iter().enumerate() {
            values.push_str(if i == 0 { "(" } else { ", (" });
            for (j, param) in row.iter().enumerate() {
                number += 1;
                let comma = if j == 0 { "" } else { ", " };
                // Writing to a String does not fail.
                let _ = write!(values, "{comma}CAST(${number} AS {})", param.sql_type());
            }
            values.push(')');
        }
        Self { values, params: rows.into_iter().flatten().collect() }
    }

    /// How many parameters the rows take: the next one is one higher.
    pub(crate) fn len(&self) -> usize {
        self.params.len()
    }

    /// The statement with the rows' parameters bound. Its placeholders stand in the order of their numbers.
    ///
    /// On SQLite they lose their numbers: a numbered placeholder is a named one there, the driver looks each
    /// name up in a list, and a thousand of them cost more than the statement.
    pub(crate) fn query(self, tx: &Tx, sql: String) -> Query<'static, Any, AnyArguments> {
        let sql = if tx.backend_name() == "SQLite" { unnumbered(&sql) } else { sql };
        let query = sqlx::query(AssertSqlSafe(sql));
        self.params.into_iter().fold(query, bind)
    }
}

fn unnumbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        out.push('?');
        rest = rest[at + 1..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out.push_str(rest);
    out
}

/// `$first, $first+1, ..`: placeholders for a list of `count` values.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}
