//! Statements over many rows at once, the same text on both databases.

use crate::open::Tx;
use sqlx::Any;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use std::sync::OnceLock;

/// Most rows of one statement: 65,535 parameters (PostgreSQL's wire limit) over the widest row we write.
pub(crate) const MAX_ROWS: usize = 1024;

/// Numbers of rows that a statement has a text for: the powers of two up to [`MAX_ROWS`].
const SIZES: usize = MAX_ROWS.ilog2() as usize + 1;

/// The type of a column of the rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Text,
    Int,
    Blob,
}

/// A parameter of a row.
#[derive(Debug, Clone)]
pub(crate) enum Param {
    Text(Option<String>),
    Int(Option<i64>),
    Blob(Vec<u8>),
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Param {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Param {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Param {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Vec<u8>> for Param {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl From<Option<i64>> for Param {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

/// A statement over rows that stand as `VALUES` in its middle, after parameters that are the same for all of them:
/// `$1`, `$2`, .. in the text before the rows, each once and in order.
///
/// Its text is made once for each power of two. What is missing to the next one is filled with rows of `NULL`:
/// they match no key in an update, and an insert leaves them out by `WHERE v.column1 IS NOT NULL`. So a
/// connection prepares few texts, and composing one costs nothing under load.
pub(crate) struct BatchStatement {
    before: &'static str,
    after: &'static str,
    columns: &'static [Column],
    sqlite: [OnceLock<&'static str>; SIZES],
    postgres: [OnceLock<&'static str>; SIZES],
}

impl BatchStatement {
    pub(crate) const fn new(before: &'static str, columns: &'static [Column], after: &'static str) -> Self {
        Self {
            before,
            after,
            columns,
            sqlite: [const { OnceLock::new() }; SIZES],
            postgres: [const { OnceLock::new() }; SIZES],
        }
    }

    /// The statement with rows bound: one after the other, at most [`MAX_ROWS`].
    pub(crate) fn query(&'static self, tx: &Tx, rows: Vec<Param>) -> Query<'static, Any, AnyArguments> {
        self.query_with(tx, [], rows)
    }

    /// The statement with what is the same for all rows bound, and then the rows.
    pub(crate) fn query_with(
        &'static self,
        tx: &Tx,
        scalars: impl IntoIterator<Item = Param>,
        rows: Vec<Param>,
    ) -> Query<'static, Any, AnyArguments> {
        let count = rows.len() / self.columns.len();
        debug_assert!(count <= MAX_ROWS && rows.len() == count * self.columns.len());
        let size = count.next_power_of_two();
        let query = scalars.into_iter().fold(sqlx::query(self.text(is_sqlite(tx), size)), bind);
        let query = rows.into_iter().fold(query, bind);
        (count..size).flat_map(|_| self.columns).fold(query, |query, column| match column {
            Column::Text => query.bind(None::<String>),
            Column::Int => query.bind(None::<i64>),
            Column::Blob => query.bind(None::<Vec<u8>>),
        })
    }

    fn text(&self, sqlite: bool, rows: usize) -> &'static str {
        let texts = if sqlite { &self.sqlite } else { &self.postgres };
        texts[rows.ilog2() as usize].get_or_init(|| {
            let scalars = self.before.matches('$').count();
            let values = if sqlite { self.plain(rows) } else { self.cast(rows, scalars) };
            let before = if sqlite { anonymous(self.before, scalars) } else { self.before.to_owned() };
            // Bounded: statements of this crate, times two databases, times SIZES.
            Box::leak(format!("{before}{values}{}", self.after).into_boxed_str())
        })
    }

    /// `(?, ?), (?, ?)`: a numbered placeholder is a named one on SQLite, the driver looks each name up in a
    /// list, and a thousand of them cost more than the statement.
    fn plain(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns.len()].join(","));
        vec![row; rows].join(",")
    }

    /// `(CAST($1 AS TEXT), CAST($2 AS BIGINT)), ..`: PostgreSQL takes the type of a parameter from where it
    /// stands, and here it stands nowhere.
    fn cast(&self, rows: usize, scalars: usize) -> String {
        let mut number = scalars;
        let mut row = || {
            let casts = self.columns.iter().map(|column| {
                number += 1;
                let sql_type = match column {
                    Column::Text => "TEXT",
                    Column::Int => "BIGINT",
                    Column::Blob => "BYTEA",
                };
                format!("CAST(${number} AS {sql_type})")
            });
            format!("({})", casts.collect::<Vec<_>>().join(", "))
        };
        (0..rows).map(|_| row()).collect::<Vec<_>>().join(", ")
    }
}

/// A text whose numbered placeholders, each there once and in order, are anonymous ones.
fn anonymous(text: &str, placeholders: usize) -> String {
    (1..=placeholders).fold(text.to_owned(), |text, number| text.replacen(&format!("${number}"), "?", 1))
}

/// Binds a parameter.
fn bind<'q>(query: Query<'q, Any, AnyArguments>, param: Param) -> Query<'q, Any, AnyArguments> {
    match param {
        Param::Text(text) => query.bind(text),
        Param::Int(number) => query.bind(number),
        Param::Blob(bytes) => query.bind(bytes),
    }
}

fn is_sqlite(tx: &Tx) -> bool {
    tx.backend_name() == "SQLite"
}

/// A condition that a column is among the texts of the JSON array that is parameter `number`: one text for lists of any length.
pub(crate) fn in_json(tx: &Tx, number: usize) -> String {
    if is_sqlite(tx) {
        format!("IN (SELECT value FROM json_each(${number}))")
    } else {
        // As an array it is looked up by the index, whatever the planner thinks of its length.
        format!("= ANY (ARRAY(SELECT json_array_elements_text(CAST(${number} AS json))))")
    }
}

/// The array for [`in_json`].
pub(crate) fn json_of<T: ToString>(texts: impl IntoIterator<Item = T>) -> String {
    serde_json::Value::from_iter(texts.into_iter().map(|text| text.to_string())).to_string()
}
