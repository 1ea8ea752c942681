//! [`Host`]: store, engine and reconciler as one running host.
//!
//! A program that embeds Longshore opens a host, loads package files, starts runs and waits for them. `longshore serve`
//! is the same host with directories to follow.

use crate::artifact::cache::check_private;
use crate::artifact::trust::TrustPolicyFile;
use crate::catalog::LoadedPackages;
use crate::error::Error as PackageError;
use crate::readiness::{Problem, is_problem};
use crate::reconcile::following::Following;
use crate::reconcile::options::Options;
use crate::reconcile::report::{Outcome, Report};
use crate::reconcile::state::Reconciler;
use crate::reconcile::take_in::take_in;
use crate::runtime::generation::UnloadResult;
use longshore_engine::{
    Clock, Engine, EngineHandle, Error as EngineError, Options as EngineOptions, RunReport, StartRequest,
    Started,
};
use longshore_package::{Digest, Isolation, PackageName};
use longshore_store::{
    Access, ConditionRow, Error as StoreError, Override, OverrideKind, PassInputs, RunId, Store, Subject,
};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// The longest pause between two passes of a call that waits for its package.
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// The actor of overrides that the embedding program asks for.
const ACTOR: &str = "program";

/// The trust policy of a home.
pub const TRUST_FILE: &str = "trust.toml";

/// Gets the report of every pass that did something.
pub type OnReport = Arc<dyn Fn(&Report) + Send + Sync>;

/// Options of a host.
#[derive(Clone)]
pub struct HostOptions {
    /// `sqlite:PATH`, or `postgres://..`.
    pub database: String,
    /// Options of the engine.
    pub engine: EngineOptions,
    /// Options of the reconciler: directories, isolation, probes, drain deadlines.
    pub reconciler: Options,
    /// True when passes run in the background whenever files change; otherwise only calls of [`Host`] run them.
    pub follow: bool,
    /// Gets the reports of passes in the background.
    pub on_report: Option<OnReport>,
}

/// A loaded package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedPackage {
    /// The name.
    pub name: PackageName,
    /// The version.
    pub version: String,
    /// The digest.
    pub digest: Digest,
    /// Where it runs.
    pub isolation: Isolation,
}

/// Why a host did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder of the host cannot be made.
    #[error("cannot make the folder {}", path.display())]
    Home {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Others than this user may write to the artifact cache, or put another folder in its place.
    #[error("the artifact cache {} is not this user's alone", path.display())]
    UnsafeCache {
        /// The artifact cache.
        path: PathBuf,
        /// Which folder, and who.
        source: std::io::Error,
    },
    /// A source contains the host's own folders.
    #[error("{} contains the host's own folder {}", source_folder.display(), home.display())]
    SourceContainsHome {
        /// The source.
        source_folder: PathBuf,
        /// The host's folder.
        home: PathBuf,
    },
    /// The database failed.
    #[error("the host's database failed")]
    Store(#[from] StoreError),
    /// A package was refused, or a pass failed.
    #[error("the package was refused")]
    Package(#[from] PackageError),
    /// The engine failed.
    #[error("the engine did not do it")]
    Engine(#[from] EngineError),
    /// No package of this name is loaded.
    #[error("no package `{name}` is loaded")]
    NotLoaded {
        /// The name.
        name: PackageName,
        /// The packages that are loaded.
        known: Vec<PackageName>,
    },
}

impl Error {
    /// The stable code; `longshore explain CODE` prints its page.
    pub fn code(&self) -> &str {
        match self {
            Self::Home { .. } => "LS0319",
            Self::SourceContainsHome { .. } => "LS0327",
            Self::UnsafeCache { .. } => "LS0328",
            Self::Store(error) => error.code(),
            Self::Package(error) => error.code(),
            Self::Engine(error) => error.code(),
            Self::NotLoaded { .. } => "LS0320",
        }
    }

    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> String {
        match self {
            Self::Home { .. } => "make the host's home writable for this user".to_owned(),
            Self::UnsafeCache { .. } => {
                "take the right to write from others (`chmod go-w`), or give the host another home (`--home`)"
                    .to_owned()
            }
            Self::SourceContainsHome { .. } => {
                "name a folder that holds packages alone, or give the host another home (`--home`)".to_owned()
            }
            Self::Store(error) => error.fix().to_owned(),
            Self::Package(error) => error.fix(),
            Self::Engine(error) => error.fix(),
            Self::NotLoaded { known, .. } if known.is_empty() => "load a package first".to_owned(),
            Self::NotLoaded { known, .. } => {
                let known: Vec<&str> = known.iter().map(PackageName::as_str).collect();
                format!("these are loaded: {}", known.join(", "))
            }
        }
    }
}

impl HostOptions {
    /// A host that keeps its database and its artifact cache in a folder, trusts what the policy in its `trust.toml` says
    /// when there is one, follows no directory, and fires triggers and reactors of what it loads.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        let home = home.into();
        let engine = EngineOptions {
            host_name: std::env::var("HOSTNAME").unwrap_or_else(|_| "local".to_owned()),
            stream_roots: vec![PathBuf::from("."), home.clone()],
            ..EngineOptions::default()
        };
        let mut reconciler = Options::new(Vec::new(), home.join("cache"));
        reconciler.wake = Some(home.join("wake"));
        reconciler.verify.trust_policy = Some(Arc::new(TrustPolicyFile::optional(home.join(TRUST_FILE))));
        let database = Store::file_url(&home.join("longshore.db"));
        Self { database, engine, reconciler, follow: true, on_report: None }
    }
}

impl HostOptions {
    /// With absolute paths: a package that changes the working directory moves nothing of the host.
    fn absolute(mut self) -> Self {
        let absolute = |path: &mut PathBuf| {
            if let Ok(found) = std::path::absolute(&*path) {
                *path = found;
            }
        };
        let options = &mut self.reconciler;
        options.directories.iter_mut().for_each(absolute);
        options.wake.iter_mut().chain([&mut options.cache, &mut options.downloads]).for_each(absolute);
        self.engine.stream_roots.iter_mut().for_each(absolute);
        self
    }
}

/// Refuses sources that contain the host's own folders: its cached libraries would be taken for packages.
fn check_sources(options: &Options) -> Result<(), Error> {
    let own: Vec<PathBuf> =
        options.wake.iter().chain([&options.cache]).filter_map(|folder| folder.canonicalize().ok()).collect();
    for source in &options.directories {
        let Ok(real) = source.canonicalize() else { continue };
        if let Some(home) = own.iter().find(|own| own.starts_with(&real)) {
            return Err(Error::SourceContainsHome { source_folder: source.clone(), home: home.clone() });
        }
    }
    Ok(())
}

/// Raises the number of files that this process may have open to what it is allowed: each isolated package takes some.
fn raise_open_files() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
            if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
        });
        if let Err(error) = raised {
            tracing::warn!(%error, "the number of open files was not raised");
        }
    }
}

impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOptions")
            .field("engine", &self.engine)
            .field("reconciler", &self.reconciler)
            .field("follow", &self.follow)
            .finish_non_exhaustive()
    }
}

/// A running host. Dropped without [`Host::shutdown`], it ends like a host that died: what it had claimed is recovered
/// by the next one.
///
/// ```no_run
/// # async fn embed() -> Result<(), longshore_reconciler::host::Error> {
/// use longshore_engine::StartRequest;
/// use longshore_reconciler::{Host, HostOptions};
///
/// let host = Host::open(HostOptions::new("host-data")).await?;
/// let package = host.load("hello-0.1.0.longshore").await?;
/// let request = StartRequest { workflow: "hello".into(), ..StartRequest::default() };
/// let run = host.start(request).await?.run;
/// println!("{:?}", host.wait(run).await?.state);
/// println!("{}", host.unload(&package.name).await?);
/// host.shutdown(std::time::Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
pub struct Host {
    engine: Engine,
    packages: Arc<LoadedPackages>,
    reconciler: Arc<Mutex<Reconciler>>,
    options: Options,
    /// The passes in the background, and the questions to registries.
    followers: JoinSet<()>,
    /// The files that packages were loaded from by [`Host::load`].
    files: Mutex<HashMap<PackageName, PathBuf>>,
}

impl Host {
    /// Opens a host: database, engine, reconciler, and, when it follows its directories, the passes in the background.
    ///
    /// # Errors
    /// [`Error::Home`], [`Error::UnsafeCache`], [`Error::SourceContainsHome`], [`Error::Store`], [`Error::Engine`].
    pub async fn open(options: HostOptions) -> Result<Self, Error> {
        let HostOptions { database, engine, reconciler: options, follow, on_report } = options.absolute();
        for folder in options.wake.iter().chain([&options.cache]) {
            let made = std::fs::create_dir_all(folder);
            made.map_err(|source| Error::Home { path: folder.clone(), source })?;
        }
        let unsafe_cache = |source| Error::UnsafeCache { path: options.cache.clone(), source };
        check_private(&options.cache).map_err(unsafe_cache)?;
        check_sources(&options)?;
        raise_open_files();
        let store = Store::open(&database, Access::Owner).await?;
        let own_store = store.clone();
        let packages = Reconciler::packages();
        let engine = Engine::open(store, packages.clone(), engine).await?;
        let reconciler = Reconciler::new(options.clone(), Arc::clone(&packages), engine.handle().clone());
        let following = Following::new(&reconciler, own_store, options.clone(), database);
        let reconciler = Arc::new(Mutex::new(reconciler));
        let mut followers = JoinSet::new();
        if follow {
            let clock = Arc::clone(&options.clock);
            followers.spawn(follow_sources(Arc::clone(&reconciler), clock, on_report));
            followers.spawn(following.run());
        }
        Ok(Self { engine, packages, reconciler, options, followers, files: Mutex::default() })
    }

    /// The engine's handle.
    pub fn engine(&self) -> &EngineHandle {
        &self.engine
    }

    /// The engine with its reactors.
    pub fn reactors(&self) -> &longshore_engine::Reactors {
        self.engine.reactors()
    }

    /// The loaded packages as the engine sees them.
    pub fn loaded(&self) -> &Arc<LoadedPackages> {
        &self.packages
    }

    /// One pass now.
    ///
    /// # Errors
    /// [`PackageError::Store`]; what is wrong with a package is in the report.
    pub async fn reconcile(&self) -> Result<Report, PackageError> {
        Ok(self.reconciler.lock().await.reconcile().await?.0)
    }

    /// Passes until no file is being written and no package is on its way any more. Returns what they did.
    ///
    /// # Errors
    /// As [`Host::reconcile`].
    pub async fn settle(&self) -> Result<Report, PackageError> {
        let mut report = Report::default();
        loop {
            let mut reconciler = self.reconciler.lock().await;
            let (pass, next) = reconciler.reconcile().await?;
            let is_settled = reconciler.is_settled();
            drop(reconciler);
            report.followed_by(pass);
            if is_settled {
                return Ok(report);
            }
            tokio::time::sleep(next.min(MAX_PAUSE)).await;
        }
    }

    /// Starts a run. When this returns, the run is on disk.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn start(&self, request: StartRequest) -> Result<Started, Error> {
        Ok(self.engine.start(request).await?)
    }

    /// Waits until a run has ended and returns it.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn wait(&self, run: RunId) -> Result<RunReport, Error> {
        Ok(self.engine.wait(run).await?)
    }

    /// Loads a package file, in the place of another version of the same package. New runs start on it when this
    /// returns. It stays loaded over restarts, until it is unloaded.
    ///
    /// # Errors
    /// [`Error::Package`] with the refusal, after which the host desires what it desired before; [`Error::Store`].
    pub async fn load(&self, file: impl AsRef<Path>) -> Result<LoadedPackage, Error> {
        let file = file.as_ref();
        // Held from the record on, so that no other pass gets the refusal.
        let mut reconciler = self.reconciler.lock().await;
        let artifact = take_in(file, &self.options, self.engine.store()).await?;
        let (package, digest) = (&artifact.manifest().package, artifact.digest());
        let before =
            self.override_with(OverrideKind::Add, &package.name, Some(digest), &package.version).await?;
        reconciler.retry(digest);
        loop {
            let (report, next) = reconciler.reconcile().await?;
            if let Some(loaded) = self.packages().into_iter().find(|loaded| loaded.digest == *digest) {
                self.files.lock().await.insert(package.name.clone(), file.to_owned());
                return Ok(loaded);
            }
            for outcome in report.outcomes {
                match outcome {
                    Outcome::Refused { name, error } if package.name == *name => {
                        self.take_back(&package.name, before).await?;
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(next.min(MAX_PAUSE)).await;
        }
    }

    /// Unloads a package: no new run starts on it, its runs go on to their end, then its library is closed. Returns
    /// once it is, with what became of its memory.
    ///
    /// # Errors
    /// [`Error::NotLoaded`], [`Error::Package`] when other packages are bound to its reactors, [`Error::Store`].
    pub async fn unload(&self, name: &PackageName) -> Result<UnloadResult, Error> {
        if !self.reconciler.lock().await.has(name) {
            let known = self.packages().into_iter().map(|package| package.name).collect();
            return Err(Error::NotLoaded { name: name.clone(), known });
        }
        let before = self.override_with(OverrideKind::Remove, name, None, "").await?;
        loop {
            let mut reconciler = self.reconciler.lock().await;
            let (_, next) = reconciler.reconcile().await?;
            if let Some(result) = reconciler.unloaded(name) {
                self.files.lock().await.remove(name);
                return Ok(result);
            }
            if let Some(graphs) = reconciler.retained_for(name) {
                let graphs = graphs.to_vec();
                self.take_back(name, before).await?;
                return Err(PackageError::HasSubscribers { graphs }.into());
            }
            drop(reconciler);
            tokio::time::sleep(next.min(MAX_PAUSE)).await;
        }
    }

    /// Reads the file of a package again: a changed file takes the place of the loaded version without a gap, an
    /// unchanged one stays as it is. A package of a directory that the host follows is read again with all others.
    ///
    /// # Errors
    /// [`Error::NotLoaded`], [`Error::Package`] with the refusal, [`Error::Store`].
    pub async fn reload(&self, name: &PackageName) -> Result<LoadedPackage, Error> {
        let file = self.files.lock().await.get(name).cloned();
        if let Some(file) = file {
            return self.load(file).await;
        }
        loop {
            let mut reconciler = self.reconciler.lock().await;
            let (report, next) = reconciler.reconcile().await?;
            let is_loading = reconciler.is_loading(name);
            drop(reconciler);
            for outcome in report.outcomes {
                match outcome {
                    Outcome::Refused { name: refused, error } if *name == *refused => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
            if !is_loading {
                break;
            }
            tokio::time::sleep(next.min(MAX_PAUSE)).await;
        }
        let packages = self.packages();
        let known = packages.iter().map(|package| package.name.clone()).collect();
        let found = packages.into_iter().find(|package| package.name == *name);
        found.ok_or_else(|| Error::NotLoaded { name: name.clone(), known })
    }

    /// The packages on which new runs start, by name.
    pub fn packages(&self) -> Vec<LoadedPackage> {
        let snapshot = self.packages.snapshot();
        let mut packages: Vec<LoadedPackage> = snapshot
            .active
            .iter()
            .filter_map(|digest| snapshot.generations.get(digest))
            .map(|generation| LoadedPackage {
                name: generation.package().clone(),
                version: generation.artifact().manifest().package.version.clone(),
                digest: generation.digest().clone(),
                isolation: generation.isolation(),
            })
            .collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        packages
    }

    /// The problem that the conditions of a package report; none when there is none.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn last_error(&self, name: &PackageName) -> Result<Option<Problem>, Error> {
        let subject = Subject::Package(name).to_string();
        let conditions = ConditionRow::all(self.engine.store()).await?;
        let found = conditions.into_iter().find(|c| c.subject == subject && is_problem(c));
        Ok(found.map(|c| Problem { subject: c.subject, code: c.reason, message: c.message }))
    }

    /// Stops the engine, as the first part of [`Host::shutdown`]: running attempts get `grace` to end.
    pub async fn stop_engine(&self, grace: Duration) {
        self.engine.shutdown(grace).await;
    }

    /// Shuts the host down: running attempts get `grace` to end, then packages are closed, then the database.
    pub async fn shutdown(mut self, grace: Duration) {
        self.followers.shutdown().await;
        self.engine.shutdown(grace).await;
        self.reconciler.lock().await.close().await;
        self.engine.store().close().await;
    }

    /// Records an override; returns the one that it takes the place of.
    async fn override_with(
        &self,
        kind: OverrideKind,
        name: &PackageName,
        digest: Option<&Digest>,
        version: &str,
    ) -> Result<Option<Override>, Error> {
        let store = self.engine.store();
        let overrides = PassInputs::load(store).await?.overrides;
        let row = Override {
            name: name.clone(),
            kind,
            digest: digest.cloned(),
            version: version.to_owned(),
            avoid: None,
            actor: ACTOR.to_owned(),
            reason: "the program that embeds the host asked for it".to_owned(),
            updated_at: self.options.clock.now_ms(),
        };
        row.put(store).await?;
        Ok(overrides.into_iter().find(|row| row.name == *name))
    }

    /// Puts back the override that was there before a request that was refused.
    async fn take_back(&self, name: &PackageName, before: Option<Override>) -> Result<(), Error> {
        let store = self.engine.store();
        match before {
            Some(row) => row.put(store).await?,
            None => {
                let now = self.options.clock.now_ms();
                Override::release(store, name, ACTOR, "the request was refused", now).await?;
            }
        }
        Ok(())
    }
}

/// Passes whenever files change or the timer goes, until it is aborted.
async fn follow_sources(
    reconciler: Arc<Mutex<Reconciler>>,
    clock: Arc<dyn Clock>,
    on_report: Option<OnReport>,
) {
    let (wake, interval) = {
        let reconciler = reconciler.lock().await;
        (reconciler.wake(), reconciler.interval())
    };
    let mut next = clock.uptime();
    loop {
        tokio::select! {
            () = wake.notified() => {}
            () = clock.sleep_until(next) => {}
        }
        let pass = reconciler.lock().await.reconcile().await;
        let wait = match pass {
            Ok((report, wait)) => {
                if let Some(on_report) = on_report.as_ref().filter(|_| !report.outcomes.is_empty()) {
                    on_report(&report);
                }
                wait
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    code = error.code(),
                    "a pass failed; it is repeated"
                );
                interval
            }
        };
        next = clock.uptime().saturating_add(wait);
    }
}
