//! Opening a database, and transactions on it.

use crate::error::Error;
use crate::lock::HostLock;
use crate::statement_limit::{ACQUIRE_TIMEOUT, StatementLimit};
use crate::tx::Reader;
pub use crate::tx::Tx;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");

static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

/// The time a statement waits for another program's write, in milliseconds.
const BUSY_TIMEOUT_MS: u32 = 5000;

/// Connections that only read: `runs list` beside a running host should not queue.
const READERS: u32 = 4;

/// Characters that a path may contain and that mean something else in a URL.
const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

/// The kind of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// The two kinds of access to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The host: migrates, and on SQLite keeps other hosts out.
    Owner,
    /// Somebody who looks or asks: the schema must be there already.
    Client,
}

/// An open database. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    dialect: Dialect,
    writer: AnyPool,
    reader: AnyPool,
    url: Arc<str>,
    lock: Option<Arc<HostLock>>,
    session: Option<Arc<HostSession>>,
}

/// The session that keeps other hosts out of a PostgreSQL database: recovery takes what other hosts hold for left
/// behind.
#[derive(Debug)]
struct HostSession {
    options: AnyConnectOptions,
    shown: String,
    /// None while it is in use, and after it was lost.
    held: Mutex<Option<AnyConnection>>,
    /// The server's process for the session, or for the last one; 0 before the first.
    pid: AtomicI64,
}

/// Names the lock among those of whatever else uses the server: "longshor" in ASCII.
const HOST_LOCK: i64 = i64::from_be_bytes(*b"longshor");

/// The time the server has to answer for the session.
const SESSION_TIMEOUT: Duration = Duration::from_secs(5);

/// The process of the session that holds the lock.
const HOLDER: &str = "SELECT CAST(pid AS BIGINT) FROM pg_locks WHERE locktype = 'advisory' AND granted \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     AND (CAST(classid AS BIGINT) << 32 | CAST(objid AS BIGINT)) = $1";

/// The time another owner gets to end: a command that only made the database, or a host that is just being stopped.
const LOCK_GRACE: Duration = Duration::from_secs(1);

/// The pause between two attempts to take the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock of a file.
async fn take_lock(path: &Path) -> Result<HostLock, Error> {
    let deadline = Instant::now() + LOCK_GRACE;
    loop {
        match HostLock::take(path) {
            Err(Error::SecondHost { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(LOCK_PAUSE).await
            }
            taken => return taken,
        }
    }
}

impl HostSession {
    async fn open(url: &str, shown: &str) -> Result<Self, Error> {
        let options =
            AnyConnectOptions::from_str(url).map_err(|_| Error::BadUrl { url: shown.to_owned() })?;
        let session =
            Self { options, shown: shown.to_owned(), held: Mutex::new(None), pid: AtomicI64::new(0) };
        let held = session.in_time(session.take_lock()).await?;
        *session.held() = Some(held);
        Ok(session)
    }

    /// Looks whether the session is there still: a server that was restarted has ended it. Then it is opened again.
    async fn keep(&self) -> Result<(), Error> {
        let before = self.held().take();
        let before = match before {
            Some(mut held) => {
                let answers = tokio::time::timeout(SESSION_TIMEOUT, held.ping()).await;
                answers.is_ok_and(|answer| answer.is_ok()).then_some(held)
            }
            None => None,
        };
        let held = match before {
            Some(held) => held,
            None => self.in_time(self.take_lock()).await?,
        };
        *self.held() = Some(held);
        Ok(())
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let timed_out = || Error::opening(&self.shown, sqlx::Error::PoolTimedOut);
        tokio::time::timeout(SESSION_TIMEOUT, work).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// Takes the lock. Our session before, whose end the server has not noticed, is ended.
    async fn take_lock(&self) -> Result<AnyConnection, Error> {
        let failed = |e| Error::opening(&self.shown, e);
        let mut connection = AnyConnection::connect_with(&self.options).await.map_err(failed)?;
        let own = "SELECT CAST(pg_backend_pid() AS BIGINT)";
        let pid = sqlx::query_scalar(own).fetch_one(&mut connection).await.map_err(failed)?;
        let sql = "SELECT CAST(CASE WHEN pg_try_advisory_lock($1) THEN 1 ELSE 0 END AS BIGINT)";
        loop {
            let taken: i64 =
                sqlx::query_scalar(sql).bind(HOST_LOCK).fetch_one(&mut connection).await.map_err(failed)?;
            if taken == 1 {
                self.pid.store(pid, Ordering::Relaxed);
                return Ok(connection);
            }
            let holder = sqlx::query_scalar(HOLDER).bind(HOST_LOCK).fetch_optional(&mut connection).await;
            let holder: Option<i64> = holder.map_err(failed)?;
            if holder.is_some_and(|holder| holder != self.pid.load(Ordering::Relaxed)) {
                return Err(Error::SecondHost { path: self.shown.clone().into() });
            }
            let end = "SELECT CAST(CASE WHEN pg_terminate_backend(CAST($1 AS INTEGER)) THEN 1 ELSE 0 END AS BIGINT)";
            if let Some(pid) = holder {
                let ended = sqlx::query_scalar::<_, i64>(end).bind(pid).fetch_one(&mut connection).await;
                ended.map_err(failed)?;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<AnyConnection>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time that a client waits for a host to make the schema, and the pause between two looks.
const SCHEMA_TIMEOUT: Duration = Duration::from_secs(3);

/// See [`SCHEMA_TIMEOUT`].
const SCHEMA_INTERVAL: Duration = Duration::from_millis(30);

impl Store {
    /// Opens a SQLite file, making it and its folder when they are missing.
    ///
    /// # Errors
    /// [`Error`] sorted by what an operator can do about it.
    pub async fn open_file(path: &Path, access: Access) -> Result<Self, Error> {
        Self::open(&Self::file_url(path), access).await
    }

    /// The URL of a SQLite file: `sqlite:PATH`, with what URLs give a meaning of their own written as `%XX`. One that
    /// is not UTF-8 does not open: the driver takes no such path.
    pub fn file_url(path: &Path) -> String {
        format!("sqlite:{}", percent_encode(path.as_os_str().as_encoded_bytes(), RESERVED))
    }

    /// Opens `sqlite:PATH` or `postgres://..`; the owner of a SQLite file makes it and its folder when they are missing.
    ///
    /// # Errors
    /// [`Error`] sorted by what an operator can do about it.
    pub async fn open(url: &str, access: Access) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let shown = without_credentials(url);
        // A program that changes its working directory keeps its database.
        let url = &absolute(url, &shown)?;
        let (dialect, path) = match url.split_once(':') {
            Some(("sqlite", _)) => (Dialect::Sqlite, Some(path_of(url, &shown)?)),
            Some(("postgres" | "postgresql", _)) => (Dialect::Postgres, None),
            _ => return Err(Error::BadUrl { url: shown }),
        };
        if let (Access::Owner, Some(folder)) = (access, path.as_deref().and_then(Path::parent)) {
            let made = std::fs::create_dir_all(folder);
            made.map_err(|source| Error::LockFile { path: folder.to_owned(), source })?;
        }
        let lock = match (&path, access) {
            (Some(path), Access::Owner) => Some(Arc::new(take_lock(path).await?)),
            _ => None,
        };
        let session = match (dialect, access) {
            (Dialect::Postgres, Access::Owner) => Some(Arc::new(HostSession::open(url, &shown).await?)),
            _ => None,
        };
        let full = match &path {
            Some(path) => reachable(url, &shown, path, access).await?,
            None => with_statement_cache(url),
        };
        let writers = if dialect == Dialect::Sqlite { 1 } else { READERS };
        let writer = connect(&full, &shown, dialect, writers).await?;
        let store = Self { dialect, reader: writer.clone(), writer, url: shown.into(), lock, session };
        store.migrate(access).await?;
        store.lock.iter().for_each(|lock| lock.opened());
        let reader = connect(&full, &store.url, dialect, READERS).await?;
        Ok(Self { reader, ..store })
    }

    /// Where it is, without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes sure that other hosts are kept out still, to be called from time to time.
    ///
    /// # Errors
    /// [`Error::SecondHost`] when another host came while the server was away, [`Error::Moved`] when the file is not where
    /// it was opened, [`Error::Unlocked`] when SQLite's locks on it are gone: this host has to end.
    pub async fn keep_lock(&self) -> Result<(), Error> {
        if let Some(lock) = &self.lock {
            lock.check()?;
            if lock.check_locks().is_err() {
                // There are none either while the pools open their connections anew: now one of them is open.
                let tx = self.begin().await?;
                let checked = lock.check_locks();
                self.roll_back(tx).await?;
                checked?;
            }
        }
        match &self.session {
            Some(session) => session.keep().await,
            None => Ok(()),
        }
    }

    /// Starts a transaction that will write.
    ///
    /// # Errors
    /// [`Error::Locked`] when another program writes for longer than we wait.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        let begun = self.statement_limit().wait(self.writer.begin_with(begin)).await;
        let inner = begun.map_err(|e| Error::of("begin", e))?;
        Ok(Tx::new(inner, self.statement_limit()))
    }

    /// Ends a transaction. When this returns, its changes survive power loss.
    ///
    /// # Errors
    /// [`Error::CommitUnknown`] when the transaction may be on disk; after any other it is undone.
    pub async fn commit(&self, tx: Tx) -> Result<(), Error> {
        self.statement_limit().wait(tx.into_inner().commit()).await.map_err(Error::of_commit)
    }

    /// Undoes a transaction. When this returns, it holds no locks any more.
    ///
    /// # Errors
    /// [`Error`] of the database, which then undoes it by itself.
    pub async fn roll_back(&self, tx: Tx) -> Result<(), Error> {
        self.statement_limit().wait(tx.into_inner().rollback()).await.map_err(|e| Error::of("roll back", e))
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { pool: &self.reader, limit: self.statement_limit() }
    }

    fn statement_limit(&self) -> StatementLimit {
        match self.dialect {
            Dialect::Sqlite => StatementLimit::FILE,
            Dialect::Postgres => StatementLimit::SERVER,
        }
    }

    /// The size of the database, in bytes.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn bytes(&self) -> Result<i64, Error> {
        let sql = match self.dialect {
            Dialect::Sqlite => "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
            Dialect::Postgres => "SELECT pg_database_size(current_database())",
        };
        let bytes = sqlx::query_scalar(sql).fetch_one(self.reader()).await;
        bytes.map_err(|e| Error::of("ask for the size", e))
    }

    /// Gives the space of what was deleted back to the disk. On SQLite nobody can write meanwhile.
    ///
    /// # Errors
    /// [`Error`] of the database; [`Error::Locked`] while another program writes.
    pub async fn vacuum(&self) -> Result<(), Error> {
        let done = sqlx::query("VACUUM").execute(&self.writer).await;
        done.map(drop).map_err(|e| Error::of("vacuum", e))
    }

    /// Copies the database into a new file, as it is at one moment, also while others write.
    ///
    /// # Errors
    /// [`Error`] of the database; [`Error::NoCopy`] for one that is not a file.
    pub async fn backup(&self, file: &Path) -> Result<(), Error> {
        if self.dialect == Dialect::Postgres {
            return Err(Error::NoCopy);
        }
        let done = sqlx::query("VACUUM INTO $1").bind(file.to_string_lossy().into_owned());
        done.execute(&self.writer).await.map(drop).map_err(|e| Error::of("copy the database", e))
    }

    /// What SQLite says of the file; nothing when it is sound, or when the database is not a file.
    pub(crate) async fn file_faults(&self) -> Result<Vec<String>, Error> {
        if self.dialect == Dialect::Postgres {
            return Ok(Vec::new());
        }
        let lines = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(self.reader()).await;
        let mut lines: Vec<String> = lines.map_err(|e| Error::of("check the file", e))?;
        lines.retain(|line| line != "ok");
        Ok(lines)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    async fn migrate(&self, access: Access) -> Result<(), Error> {
        let migrator = match self.dialect {
            Dialect::Sqlite => &SQLITE,
            Dialect::Postgres => &POSTGRES,
        };
        match access {
            Access::Owner => migrator.run(&self.writer).await.map_err(Error::migrating),
            Access::Client => self.check_version(migrator).await,
        }
    }

    /// A client changes no schema: it only refuses to read one that it does not know. A host that is just being started
    /// may still be making it.
    async fn check_version(&self, migrator: &Migrator) -> Result<(), Error> {
        let deadline = tokio::time::Instant::now() + SCHEMA_TIMEOUT;
        let newest = loop {
            let sql = "SELECT MAX(version) FROM _sqlx_migrations";
            let newest: Result<Option<i64>, sqlx::Error> =
                sqlx::query_scalar(sql).fetch_one(&self.writer).await;
            match newest {
                Ok(Some(version)) => break Some(version),
                Ok(None) | Err(sqlx::Error::Database(_)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(SCHEMA_INTERVAL).await;
                }
                other => break other.map_err(|e| Error::opening(&self.url, e))?,
            }
        };
        let known = migrator.iter().map(|m| m.version).max();
        match newest {
            Some(version) if Some(version) > known => Err(Error::Newer { version }),
            _ => Ok(()),
        }
    }
}

/// A PostgreSQL URL by which a connection keeps every statement prepared that we have: 27 over rows, with a text for each
/// of 11 sizes, and the others. The driver keeps 100, and takes another number from the URL alone; that of a file it
/// takes from nowhere.
fn with_statement_cache(url: &str) -> String {
    const PARAMETER: &str = "statement-cache-capacity";
    if url.contains(PARAMETER) {
        return url.to_owned();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{PARAMETER}=512")
}

async fn connect(url: &str, shown: &str, dialect: Dialect, connections: u32) -> Result<AnyPool, Error> {
    let options = AnyConnectOptions::from_str(url).map_err(|_| Error::BadUrl { url: shown.to_owned() })?;
    let tuned = dialect == Dialect::Sqlite && !url.ends_with("immutable=1");
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, _| {
            Box::pin(async move {
                match dialect {
                    Dialect::Sqlite => Ok(true),
                    Dialect::Postgres => StatementLimit::SERVER.wait(answers(connection)).await,
                }
            })
        })
        .after_release(move |connection, _| {
            Box::pin(async move {
                if dialect == Dialect::Postgres {
                    // One that does not answer is closed. The pool would wait for it, and have one less for ever.
                    StatementLimit::SERVER.wait(connection.ping()).await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if tuned {
                    for pragma in pragmas() {
                        sqlx::query(AssertSqlSafe(pragma)).execute(&mut *connection).await?;
                    }
                }
                if dialect == Dialect::Postgres {
                    for setting in SETTINGS {
                        // Not every server has each of them.
                        let _ = sqlx::query(setting).execute(&mut *connection).await;
                    }
                }
                Ok(())
            })
        });
    pool.connect_with(options).await.map_err(|e| Error::opening(shown, e))
}

/// Settings of our sessions by which a server ends what we have given up: a statement that waits for a lock, one whose
/// connection is gone, a transaction that nobody goes on with.
const SETTINGS: [&str; 3] = [
    "SET lock_timeout = '8s'",
    "SET client_connection_check_interval = '5s'",
    "SET idle_in_transaction_session_timeout = '60s'",
];

/// True when a connection answers what it is asked. One that lost count of the server's answers gives those of the statement
/// before.
async fn answers(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    static QUESTIONS: AtomicI64 = AtomicI64::new(0);
    let question = QUESTIONS.fetch_add(1, Ordering::Relaxed);
    let sql = "SELECT CAST($1 AS BIGINT)";
    let answer: i64 = sqlx::query_scalar(sql).bind(question).fetch_one(connection).await?;
    Ok(answer == question)
}

/// The URL with which the file opens. It is opened once by itself: a pool would try again and again, and then
/// say only that it timed out.
///
/// On a read-only disk a client reads a write-ahead log by the index that the host left beside it. Without a log it takes
/// the file as unchanging, which it is there. A log without an index cannot be read: that takes writing beside it.
async fn reachable(url: &str, shown: &str, path: &Path, access: Access) -> Result<String, Error> {
    let mode = match access {
        Access::Owner => "?mode=rwc",
        Access::Client => "?mode=rw",
    };
    let first = format!("{url}{mode}");
    let error = match try_out(&first).await {
        Ok(()) => return Ok(first),
        Err(error) => Error::opening(shown, error),
    };
    if access == Access::Owner || !is_read_only(path) {
        return Err(error);
    }
    let log = beside(path, "-wal");
    let has_log = std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let second = format!("{url}{}", if has_log { "?mode=ro" } else { "?mode=ro&immutable=1" });
    match try_out(&second).await {
        Ok(()) => Ok(second),
        Err(source) if has_log => Err(Error::UnreadLog { path: log, source }),
        Err(_) => Err(error),
    }
}

/// The file that SQLite keeps beside a database.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// True when the file is there and its folder takes no file.
fn is_read_only(path: &Path) -> bool {
    // A name of its own: nothing of anybody else is touched.
    let probe = path.with_file_name(format!(".longshore-probe-{}", uuid::Uuid::now_v7()));
    let refused = match std::fs::File::create_new(&probe) {
        Ok(_) => std::fs::remove_file(&probe).is_err(),
        Err(_) => true,
    };
    path.is_file() && refused
}

/// The URL, with an absolute path when it is that of a file.
fn absolute(url: &str, shown: &str) -> Result<String, Error> {
    if !url.starts_with("sqlite:") {
        return Ok(url.to_owned());
    }
    let path = path_of(url, shown)?;
    let query = url.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
    let path = std::path::absolute(&path).unwrap_or(path);
    Ok(format!("{}{query}", Store::file_url(&path)))
}

/// The file of a `sqlite:` URL, as the driver reads it: without a query, and with `%XX` decoded.
fn path_of(url: &str, shown: &str) -> Result<PathBuf, Error> {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let decoded = percent_decode_str(path).decode_utf8();
    decoded.map(|path| PathBuf::from(&*path)).map_err(|_| Error::BadUrl { url: shown.to_owned() })
}

async fn try_out(url: &str) -> Result<(), sqlx::Error> {
    let options = AnyConnectOptions::from_str(url)?;
    let mut connection = AnyConnection::connect_with(&options).await?;
    if !url.ends_with("immutable=1") {
        for pragma in pragmas() {
            sqlx::query(AssertSqlSafe(pragma)).execute(&mut connection).await?;
        }
    }
    sqlx::query("SELECT COUNT(*) FROM sqlite_schema").execute(&mut connection).await?;
    connection.close().await
}

fn pragmas() -> [String; 5] {
    [
        format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"),
        "PRAGMA journal_mode = WAL".to_owned(),
        // What is acknowledged survives power loss.
        "PRAGMA synchronous = FULL".to_owned(),
        "PRAGMA temp_store = MEMORY".to_owned(),
        "PRAGMA cache_size = -16384".to_owned(),
    ]
}

/// A URL as it may be shown: without user, and without a query, which may name a password too.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.rfind('@').map_or(rest, |at| &rest[at + 1..]);
    let rest = rest.split_once('?').map_or(rest, |(address, _)| address);
    format!("{scheme}://{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_to_a_server_keeps_all_statements_unless_the_url_says_how_many() {
        assert_eq!(with_statement_cache("postgres://h/b"), "postgres://h/b?statement-cache-capacity=512");
        assert_eq!(
            with_statement_cache("postgres://h/b?sslmode=disable"),
            "postgres://h/b?sslmode=disable&statement-cache-capacity=512"
        );
        let own = "postgres://h/b?statement-cache-capacity=0";
        assert_eq!(with_statement_cache(own), own);
    }

    #[test]
    fn no_password_is_shown() {
        for url in [
            "postgres://me:secret@host:5432/base",
            "postgres://host:5432/base?user=me&password=secret",
            "postgres://me:se@cret@host:5432/base?password=secret",
        ] {
            let shown = without_credentials(url);
            assert_eq!(shown, "postgres://host:5432/base", "{url}");
        }
    }

    #[test]
    fn a_file_is_the_same_one_for_the_lock_and_for_the_driver() {
        for name in ["plain.db", "a%2Fb.db", "what?.db", "100%.db", "a#b.db", "blank and ä.db"] {
            let path = Path::new("/some/folder").join(name);
            let url = Store::file_url(&path);
            assert_eq!(path_of(&url, &url).expect("a path"), path, "{url}");
        }
    }

    #[tokio::test]
    async fn a_database_whose_name_means_something_in_urls_opens_there_and_touches_nothing_else() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a%2Fb?.db");
        let probe = folder.path().join("a%2Fb?.probe");
        std::fs::write(&probe, "mine").expect("writes");
        Store::open_file(&path, Access::Owner).await.expect("opens").close().await;
        assert!(path.is_file() && path.with_file_name("a%2Fb?.db.host").is_file());
        // A file that is not a database: the driver refuses it, and what is beside it is looked at.
        std::fs::write(&path, "text").expect("writes");
        assert_eq!(Store::open_file(&path, Access::Client).await.expect_err("text").code(), "LS0505");
        assert_eq!(std::fs::read(&probe).expect("reads"), b"mine");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_path_that_is_not_utf8_is_refused_and_named() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/tmp/\xff.db"));
        assert_eq!(Store::open_file(path, Access::Owner).await.expect_err("refused").code(), "LS0510");
    }
}
