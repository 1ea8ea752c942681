//! A host whose passes the test runs.

use crate::backend::LOCK_TIMEOUT;
use longshore_engine::{Options as EngineOptions, RunReport, StartRequest};
use longshore_reconciler::artifact::IsolationPolicy;
use longshore_reconciler::host::Error as HostError;
use longshore_reconciler::runtime::ProbeOptions;
use longshore_reconciler::{Error, Host, HostOptions, Outcome, Report};
use longshore_store::Error as StoreError;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time a test waits for something that takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The pause between two passes of a test that waits.
const PASS_INTERVAL: Duration = Duration::from_millis(25);

/// Where a host runs its packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In the process of the test, after a probe.
    InProcess,
    /// Each in a process of its own, without a probe.
    Isolated,
}

/// True when the environment asks for packages in processes of their own: the same tests hold for both.
pub fn isolated() -> bool {
    std::env::var_os("LONGSHORE_TEST_ISOLATED").is_some()
}

/// The result of every unload that [`isolated`] allows.
pub fn unload_result() -> &'static str {
    if isolated() { "process ended" } else { "unmapped" }
}

/// A host on a folder of packages. Its passes run when the test asks for one.
pub struct TestHost {
    host: Host,
    /// The directory that the host takes packages from.
    pub packages: PathBuf,
}

impl Deref for TestHost {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl TestHost {
    /// Options of a host in a folder, whose children are started from `program`.
    pub fn options(folder: &Path, program: impl AsRef<Path>, kind: Kind) -> HostOptions {
        let program = program.as_ref();
        let mut options = HostOptions::new(folder);
        options.follow = false;
        options.engine = EngineOptions::default();
        let reconciler = &mut options.reconciler;
        reconciler.directories = vec![folder.join("packages")];
        let (start, call, limit) = (Duration::from_secs(8), Duration::from_secs(8), Duration::from_secs(20));
        reconciler.probe =
            (kind == Kind::InProcess).then(|| ProbeOptions { program: program.to_owned(), limit });
        let all = kind == Kind::Isolated;
        reconciler.verify.isolation =
            IsolationPolicy { program: program.to_owned(), all, start, call, ..IsolationPolicy::default() };
        options
    }

    /// Opens a host, once the one before has let go of its database.
    pub async fn open(options: HostOptions) -> Self {
        let packages = options.reconciler.directories[0].clone();
        std::fs::create_dir_all(&packages).expect("folder");
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match Host::open(options.clone()).await {
                Err(HostError::Store(StoreError::SecondHost { .. })) if Instant::now() < deadline => {
                    tokio::time::sleep(PASS_INTERVAL).await;
                }
                opened => return Self { host: opened.expect("a host"), packages },
            }
        }
    }

    /// Copies a package file into the host's directory.
    pub fn put(&self, built: &Path, name: &str) {
        std::fs::copy(built, self.packages.join(name)).expect("copies");
    }

    /// Puts a library into the host's directory, in one step.
    pub fn put_library(&self, name: &str, bytes: &[u8]) {
        let new = self.packages.join(".new");
        std::fs::write(&new, bytes).expect("writes");
        std::fs::rename(new, self.packages.join(format!("lib{name}.so"))).expect("renames");
    }

    /// Removes a library from the host's directory.
    pub fn remove_library(&self, name: &str) {
        std::fs::remove_file(self.packages.join(format!("lib{name}.so"))).expect("removes");
    }

    /// One pass.
    pub async fn pass(&self) -> Report {
        self.host.reconcile().await.expect("a pass")
    }

    /// Passes until one does something.
    pub async fn pass_with_outcome(&self) -> Report {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let report = self.pass().await;
            if !report.outcomes.is_empty() {
                return report;
            }
            assert!(Instant::now() < deadline, "no pass did anything");
            tokio::time::sleep(PASS_INTERVAL).await;
        }
    }

    /// Passes until `holds` finds something in an outcome.
    pub async fn until<T>(&self, what: &str, holds: impl Fn(&Outcome) -> Option<T>) -> T {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let report = self.pass().await;
            if let Some(found) = report.outcomes.iter().find_map(&holds) {
                return found;
            }
            assert!(Instant::now() < deadline, "never {what}: {report:?}");
            tokio::time::sleep(PASS_INTERVAL).await;
        }
    }

    /// Passes until a package was loaded; a refusal of it ends the test.
    pub async fn until_loaded(&self, package: &str) {
        self.until("loaded", |outcome| match outcome {
            Outcome::Loaded { name, .. } => (*name == package).then_some(()),
            Outcome::Refused { name, error } if name == package => panic!("{name}: {}", error.full()),
            _ => None,
        })
        .await;
    }

    /// Passes until all of these packages were loaded, whatever else happens.
    pub async fn until_all_loaded(&self, names: &[&str]) {
        let deadline = Instant::now() + TIMEOUT;
        let mut missing: Vec<&str> = names.to_vec();
        while !missing.is_empty() {
            for outcome in self.pass().await.outcomes {
                if let Outcome::Loaded { name, .. } = outcome {
                    missing.retain(|wanted| name != *wanted);
                }
            }
            assert!(Instant::now() < deadline, "not loaded: {missing:?}");
            tokio::time::sleep(PASS_INTERVAL).await;
        }
    }

    /// Passes until something is refused, which must be with this code; returns the message.
    pub async fn expect_refused(&self, code: &str) -> String {
        self.until("refused", |outcome| match outcome {
            Outcome::Refused { error, .. } => {
                assert_eq!(error.code(), code, "{}", error.full());
                Some(error.full())
            }
            _ => None,
        })
        .await
    }

    /// Passes until a package is refused, or loaded after all; returns code and text.
    pub async fn until_refused(&self, package: &str) -> (String, String) {
        self.until("refused", |outcome| match outcome {
            Outcome::Refused { name, error } if name == package => {
                Some((error.code().to_owned(), error.full()))
            }
            Outcome::Loaded { name, .. } if *name == package => {
                let error = Error::Load { message: "it was loaded".into() };
                Some(("loaded".to_owned(), error.full()))
            }
            _ => None,
        })
        .await
    }

    /// Passes until a generation of a package was closed; returns what became of its memory.
    pub async fn until_unloaded(&self, package: &str) -> String {
        self.until("unloaded", |outcome| match outcome {
            Outcome::Unloaded { name, result } if *name == package => Some(result.to_string()),
            _ => None,
        })
        .await
    }

    /// Waits until so many attempts of the loaded packages are being executed.
    pub async fn until_in_flight(&self, attempts: usize) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let mut in_flight = 0;
            for package in self.host.packages() {
                in_flight += self.host.engine().in_flight(&package.digest).await;
            }
            if in_flight == attempts {
                return;
            }
            assert!(Instant::now() < deadline, "{in_flight} attempts are in flight");
            tokio::time::sleep(PASS_INTERVAL).await;
        }
    }

    /// Starts a workflow without params and waits for its end.
    pub async fn run(&self, workflow: &str) -> RunReport {
        let request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
        let run = self.host.start(request).await.expect("starts").run;
        let ended = tokio::time::timeout(TIMEOUT, self.host.wait(run)).await;
        ended.unwrap_or_else(|_| panic!("a run of {workflow} does not end")).expect("ends")
    }

    /// Shuts the host down.
    pub async fn close(self) {
        self.shut_down(Duration::from_secs(5)).await;
    }

    /// Shuts the host down; attempts that run get `grace` to end.
    pub async fn shut_down(self, grace: Duration) {
        self.host.shutdown(grace).await;
    }
}
