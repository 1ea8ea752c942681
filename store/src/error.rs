//! Errors of a database.

use longshore_workflow::names::NotADigest;
use std::borrow::Cow;
use std::path::PathBuf;

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database cannot be reached or opened.
    #[error("cannot reach the database {url}")]
    Unreachable {
        /// Where, without credentials.
        url: String,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The database is locked by somebody else for longer than we wait.
    #[error("the database is locked by another program ({operation})")]
    Locked {
        /// The operation.
        operation: &'static str,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// Another transaction came first: this one was undone, and may be done again at once.
    #[error("another transaction of the database came first ({operation})")]
    Conflict {
        /// The operation.
        operation: &'static str,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// No connection became free, and none could be made.
    #[error("no connection to the database became free in ten seconds ({operation})")]
    Busy {
        /// The operation.
        operation: &'static str,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The answer to a commit was lost: the transaction is on disk, or it never was.
    #[error("the database did not say whether it committed")]
    CommitUnknown {
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The database does not take writes.
    #[error("the database is read-only ({operation})")]
    ReadOnly {
        /// The operation.
        operation: &'static str,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The disk under the database is full.
    #[error("the disk under the database is full ({operation})")]
    DiskFull {
        /// The operation.
        operation: &'static str,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The file is not a database.
    #[error("{url} is not a database, or a damaged one")]
    NotADatabase {
        /// Which file.
        url: String,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// A newer Longshore made this database.
    #[error("the database has migration {version}, which this program does not know")]
    Newer {
        /// The migration.
        version: i64,
    },
    /// A migration failed.
    #[error("the database could not be brought to this program's version")]
    Migrate {
        /// The migrator's error.
        source: sqlx::migrate::MigrateError,
    },
    /// Another host runs on this SQLite file.
    #[error("another host runs on {} (its lock is held)", path.display())]
    SecondHost {
        /// The lock file.
        path: PathBuf,
    },
    /// The database is not any more where it was opened.
    #[error("the database is not at {} any more: it was moved, removed or replaced", path.display())]
    Moved {
        /// Where it was opened.
        path: PathBuf,
    },
    /// SQLite's locks on the database are gone, although it is open.
    #[error("the locks on {} are gone: something in this process opened the file and closed it", path.display())]
    Unlocked {
        /// The file.
        path: PathBuf,
    },
    /// The last writes to a database on a read-only disk cannot be read.
    #[error("the last writes are in {}, which cannot be read on a read-only disk", path.display())]
    UnreadLog {
        /// The write-ahead log.
        path: PathBuf,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The lock file beside the database cannot be used.
    #[error("cannot use the lock file {}", path.display())]
    LockFile {
        /// The lock file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The URL names no database we know.
    #[error("`{url}` is not a database URL")]
    BadUrl {
        /// The URL, without credentials.
        url: String,
    },
    /// A text is not an id.
    #[error("`{text}` is not a {what} id")]
    BadId {
        /// Of what.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// A row holds what no program of this version writes.
    #[error("table {table}, row {key}: column {column} holds `{value}`")]
    BadRow {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// The column.
        column: Cow<'static, str>,
        /// Its content.
        value: String,
    },
    /// The database is not a file that can be copied.
    #[error("a database of a PostgreSQL server is not copied into a file by Longshore")]
    NoCopy,
    /// Anything else the database said.
    #[error("the database refused: {operation}")]
    Query {
        /// The operation.
        operation: &'static str,
        /// The driver's error.
        source: sqlx::Error,
    },
}

impl Error {
    /// The stable code; `longshore explain` prints its page.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "LS0501",
            Self::Locked { .. } => "LS0502",
            Self::ReadOnly { .. } => "LS0503",
            Self::DiskFull { .. } => "LS0504",
            Self::NotADatabase { .. } => "LS0505",
            Self::Newer { .. } => "LS0506",
            Self::Migrate { .. } => "LS0507",
            Self::SecondHost { .. } => "LS0508",
            Self::LockFile { .. } => "LS0509",
            Self::BadUrl { .. } => "LS0510",
            Self::BadId { .. } => "LS0511",
            Self::BadRow { .. } => "LS0512",
            Self::Query { .. } => "LS0513",
            Self::Conflict { .. } => "LS0514",
            Self::Busy { .. } => "LS0515",
            Self::CommitUnknown { .. } => "LS0516",
            Self::NoCopy => "LS0517",
            Self::Moved { .. } => "LS0518",
            Self::UnreadLog { .. } => "LS0519",
            Self::Unlocked { .. } => "LS0520",
        }
    }

    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "check the path or the server, and that this user may open it",
            Self::Locked { .. } => {
                "end the other program (a shell with an open transaction, a backup), then try again"
            }
            Self::Conflict { .. } => "try again; what the engine writes is tried again by itself",
            Self::Busy { .. } => {
                "check the server, and look for a program that holds transactions open; then try again"
            }
            Self::CommitUnknown { .. } => {
                "check the connection to the server; the engine looks up what it wrote"
            }
            Self::ReadOnly { .. } => "make the file and its folder writable for this user",
            Self::DiskFull { .. } => "free space on that disk; nothing acknowledged was lost",
            Self::NotADatabase { .. } => "point --database at a Longshore database, or move the file away",
            Self::Newer { .. } => "use the Longshore release that made it, or a later one",
            Self::Migrate { .. } => "see the cause below; the database is as it was before",
            Self::SecondHost { .. } => "stop the other host, or give this one its own --home",
            Self::LockFile { .. } => "make the database's folder writable for this user",
            Self::BadUrl { .. } => {
                "write sqlite:PATH, with a path in UTF-8, or postgres://USER@HOST/DATABASE"
            }
            Self::BadId { .. } => "copy the id from `longshore runs list`",
            Self::BadRow { .. } => {
                "the row was changed by hand or by a newer program: restore it from a backup"
            }
            Self::Moved { .. } => "put it back and start the host again, or start the host where it is now",
            Self::Unlocked { .. } => {
                "start the host again, and isolate packages that read this file or bring their own SQLite: \
                 `longshore serve --isolate NAME`"
            }
            Self::UnreadLog { .. } => "copy the home to a disk that is writable, and look at the copy",
            Self::NoCopy => "use pg_dump, and pg_restore for the way back",
            Self::Query { .. } => "see the cause below; this is likely a bug in Longshore",
        }
    }

    /// True when others use the database, or it is away for a moment: waiting helps, and nobody has to do anything.
    pub fn is_contention(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Locked { .. }
                | Self::Conflict { .. }
                | Self::Busy { .. }
                | Self::CommitUnknown { .. }
        )
    }

    /// True when the database will always refuse what it was given: a value that it does not take, a rule that it breaks.
    pub fn is_refusal(&self) -> bool {
        let Self::Query { source: sqlx::Error::Database(error), .. } = self else { return false };
        let code = error.code().unwrap_or_default();
        // 18 to 20: too large, a constraint, a type. 22 and 23: data, constraints.
        matches!(sqlite_code(&code), Some(18..=20)) || code.starts_with("22") || code.starts_with("23")
    }

    /// As [`Error::of`], for a commit: an error that the database did not send leaves its end unknown.
    pub(crate) fn of_commit(source: sqlx::Error) -> Self {
        let known = matches!(&source, sqlx::Error::Database(error)
            if !error.code().is_some_and(|code| is_unknown_end(&code)));
        if known { Self::of("commit", source) } else { Self::CommitUnknown { source } }
    }

    /// Sorts a driver's error by what an operator can do about it.
    pub(crate) fn of(operation: &'static str, source: sqlx::Error) -> Self {
        let code = match &source {
            sqlx::Error::Database(error) => error.code().unwrap_or_default().into_owned(),
            sqlx::Error::PoolTimedOut => return Self::Busy { operation, source },
            sqlx::Error::Io(_)
            | sqlx::Error::PoolClosed
            // The connection lost count of the server's answers.
            | sqlx::Error::BeginFailed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => {
                return Self::Unreachable { url: "in use".to_owned(), source };
            }
            _ => String::new(),
        };
        match (sqlite_code(&code), code.as_str()) {
            (Some(5 | 6), _) | (_, "55P03") => Self::Locked { operation, source },
            (_, "40001" | "40P01") => Self::Conflict { operation, source },
            // 57014: a statement took longer than the server lets it; 57P01 to 57P05: the server shuts down, crashed, or
            // starts, the session was idle; 25P03 and 25P04: the transaction was; 08..: the connection; 53200 and 53300:
            // memory, connections.
            (_, code) if code.starts_with("57P") || code.starts_with("08") => {
                Self::Unreachable { url: "in use".to_owned(), source }
            }
            (_, "57014" | "25P03" | "25P04" | "53200" | "53300") => {
                Self::Unreachable { url: "in use".to_owned(), source }
            }
            (Some(8), _) | (_, "25006") => Self::ReadOnly { operation, source },
            // 4874: the index of the write-ahead log could not grow.
            (Some(13), _) | (_, "4874" | "53100") => Self::DiskFull { operation, source },
            (Some(14), _) => Self::Unreachable { url: "in use".to_owned(), source },
            _ => Self::Query { operation, source },
        }
    }

    /// A row whose columns are not of the types that they have.
    pub(crate) fn undecodable(table: &'static str, key: String, error: sqlx::Error) -> Self {
        let (column, source) = match error {
            sqlx::Error::ColumnDecode { index, source } => {
                (Cow::Owned(index.trim_matches('"').to_owned()), source)
            }
            other => (Cow::Borrowed("?"), other.to_string().into()),
        };
        let value = match source.downcast_ref::<UnknownWord>() {
            Some(UnknownWord(word)) => word.clone(),
            None => match (source.downcast_ref::<Self>(), source.downcast_ref::<NotADigest>()) {
                (Some(Self::BadId { text, .. }), _) | (_, Some(NotADigest(text))) => text.clone(),
                _ => source.to_string(),
            },
        };
        Self::BadRow { table, key, column, value }
    }

    /// As [`Error::of`], for errors met while opening `url`.
    pub(crate) fn opening(url: &str, source: sqlx::Error) -> Self {
        let not_a_database = matches!(&source, sqlx::Error::Database(e) if e.code().as_deref() == Some("26"));
        if not_a_database {
            return Self::NotADatabase { url: url.to_owned(), source };
        }
        match Self::of("open", source) {
            Self::Query { source, .. } | Self::Unreachable { source, .. } => {
                Self::Unreachable { url: url.to_owned(), source }
            }
            other => other,
        }
    }

    pub(crate) fn migrating(source: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError;
        match source {
            MigrateError::VersionMissing(version) => Self::Newer { version },
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                match Self::of("migrate", source) {
                    Self::Query { source, .. } => Self::Migrate { source: MigrateError::Execute(source) },
                    other => other,
                }
            }
            source => Self::Migrate { source },
        }
    }
}

/// SQLite's primary code: extended ones keep it in the low byte. PostgreSQL's codes have five characters and none.
fn sqlite_code(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().filter(|_| code.len() < 5).map(|code| code & 0xff)
}

/// True when a commit that ends with this may be on disk. 10: SQLite does not know what reached it. 40003: PostgreSQL
/// says so. 08 and 57P: whoever answers, a pooler too, lost the server or is closed by it.
fn is_unknown_end(code: &str) -> bool {
    sqlite_code(code) == Some(10) || code == "40003" || code.starts_with("08") || code.starts_with("57P")
}

/// A word that no variant has.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of the words this column takes")]
pub struct UnknownWord(pub String);
