//! [`Embedded`]: a program's own workflows, with a database behind them.

use longshore_engine::embedded::EmbeddedPackage;
use longshore_engine::{DefinitionError, Engine, Error as EngineError, Options, Packages, note_waiting_runs};
use longshore_store::{Access, Error as StoreError, Store};
// Linked for its event streams, which register themselves.
use longshore_streams as _;
use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The options of an embedded program.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmbeddedOptions {
    /// The program's name, as runs record it: `env!("CARGO_PKG_NAME")`.
    pub name: String,
    /// The program's version, as runs record it: `env!("CARGO_PKG_VERSION")`.
    pub version: String,
    /// The database's URL: `sqlite:PATH` or `postgres://..`. A SQLite file and its folder are made when they are not
    /// there.
    pub database: String,
    /// The engine's options.
    pub engine: Options,
}

impl EmbeddedOptions {
    /// A program with its database in a SQLite file, whose triggers and reactors run.
    pub fn new(name: impl Into<String>, version: impl Into<String>, file: impl AsRef<Path>) -> Self {
        let database = Store::file_url(file.as_ref());
        Self { name: name.into(), version: version.into(), database, engine: Options::default() }
    }
}

/// Why a program's workflows do not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The workflows make no sense together.
    Definition(DefinitionError),
    /// The database failed.
    Store(StoreError),
    /// The engine failed.
    Engine(EngineError),
}

impl Error {
    /// The stable code; `longshore explain CODE` prints its page.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Definition(_) => "LS0309",
            Self::Store(error) => error.code(),
            Self::Engine(error) => error.code(),
        }
    }

    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> String {
        match self {
            Self::Definition(_) => "correct the workflow, then build the program again".to_owned(),
            Self::Store(error) => error.fix().to_owned(),
            Self::Engine(error) => error.fix(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Definition(_) => "the program's workflows were refused",
            Self::Store(_) => "the program's database failed",
            Self::Engine(_) => "the engine was not started",
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Definition(error) => error,
            Self::Store(error) => error,
            Self::Engine(error) => error,
        })
    }
}

/// The workflows, triggers and reactors that are linked into this program, running on a database: what a process that
/// died had begun goes on when the next one opens the same database.
///
/// It dereferences to the [`Engine`]: `start`, `wait`, `cancel`, `progress`, `reactors`.
///
/// ```
/// use longshore::embedded::{Embedded, EmbeddedOptions};
/// use longshore::engine::StartRequest;
///
/// #[longshore::workflow(name = "greet", params(name: String = "world"))]
/// mod greet {
///     use longshore::{Context, TaskError, task};
///     use serde_json::Value;
///
///     #[task]
///     async fn hello(context: &mut Context<Value>) -> Result<(), TaskError> {
///         let name: String = context.get_required("name")?;
///         context.insert_as("greeting", format!("Hello, {name}!"))
///     }
/// }
///
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let folder = tempfile::tempdir()?;
///     let options = EmbeddedOptions::new("greeter", "1.0.0", folder.path().join("greeter.db"));
///     let program = Embedded::open(options).await?;
///     let request = StartRequest { workflow: "greet".into(), ..StartRequest::default() };
///     let run = program.start(request).await?.run;
///     let report = program.wait(run).await?;
///     assert_eq!(report.context.get(), r#"{"greeting":"Hello, world!","name":"world"}"#);
///     program.shutdown(std::time::Duration::from_secs(5)).await;
///     Ok(())
/// }
/// ```
pub struct Embedded {
    engine: Engine,
}

impl Deref for Embedded {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Embedded {
    /// Opens the database, and goes on with every run that is open in it and whose workflow is as it was: the same
    /// tasks wait for the same tasks. Others wait for a version of the program that has it; a condition (LS0610) says so.
    ///
    /// # Errors
    /// [`Error::Definition`] for what the macros could not see at compile time, [`Error::Store`], [`Error::Engine`].
    pub async fn open(options: EmbeddedOptions) -> Result<Self, Error> {
        let EmbeddedOptions { name, version, database, engine } = options;
        let packages = EmbeddedPackage::from_inventory(&name, &version).map_err(Error::Definition)?;
        let store = Store::open(&database, Access::Owner).await.map_err(Error::Store)?;
        note_waiting_runs(&store, &packages.catalog(), engine.clock.now_ms()).await.map_err(Error::Store)?;
        let engine = Engine::open(store, Arc::new(packages), engine).await.map_err(Error::Engine)?;
        Ok(Self { engine })
    }

    /// Stops the engine and closes the database. Running attempts get `grace` to end; what does not end in that time
    /// is put back, and executed when the database is opened again.
    pub async fn shutdown(self, grace: Duration) {
        self.engine.shutdown(grace).await;
        self.engine.store().close().await;
    }
}
