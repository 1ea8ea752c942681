//! A host in the process of the test.
#![allow(dead_code, reason = "each test file uses a part of it")]

use longshore_engine::{Engine, Options as EngineOptions};
use longshore_reconciler::probe::ProbeOptions;
use longshore_reconciler::{Options, Outcome, Reconciler, Report};
use longshore_store::{Access, Store};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whether packages get processes of their own: the same tests hold for both.
pub fn isolated() -> bool {
    std::env::var_os("LONGSHORE_TEST_ISOLATED").is_some()
}

/// How a package that goes leaves the host.
pub fn released() -> &'static str {
    if isolated() { "process ended" } else { "unmapped" }
}

/// A host on a folder of packages.
pub struct Host {
    pub engine: Engine,
    pub reconciler: Reconciler,
    pub packages: PathBuf,
}

impl Host {
    pub async fn open(folder: &Path) -> Self {
        let packages = folder.join("packages");
        std::fs::create_dir_all(&packages).expect("folder");
        let store = Store::open_file(&folder.join("test.db"), Access::Host).await.expect("opens");
        let loaded = Reconciler::packages();
        let engine = Engine::open(store, loaded.clone(), EngineOptions::default()).await.expect("starts");
        let mut options = Options::new(vec![packages.clone()], folder.join("cache"));
        options.probe = Some(ProbeOptions {
            program: env!("CARGO_BIN_EXE_longshore").into(),
            limit: Duration::from_secs(20),
        });
        options.checks.isolation.program = env!("CARGO_BIN_EXE_longshore").into();
        options.checks.isolation.all = isolated();
        let reconciler = Reconciler::new(options, loaded, engine.clone());
        Self { engine, reconciler, packages }
    }

    /// Passes until one does something.
    pub async fn reconcile(&mut self) -> Report {
        for _ in 0..100 {
            let (report, _) = self.reconciler.reconcile().await.expect("a pass");
            if !report.outcomes.is_empty() {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing happened");
    }

    pub fn put(&self, built: &Path, name: &str) {
        std::fs::copy(built, self.packages.join(name)).expect("copies");
    }

    pub async fn close(mut self) {
        self.engine.shutdown(Duration::from_secs(5)).await;
        self.reconciler.close().await;
    }

    /// Passes until a package is refused with this code; returns the message.
    pub async fn expect_refused(&mut self, code: &str) -> String {
        for _ in 0..100 {
            let report = self.reconcile().await;
            for outcome in report.outcomes {
                if let Outcome::Refused { error, .. } = outcome {
                    assert_eq!(error.code(), code, "{}", error.full());
                    return error.full();
                }
            }
        }
        panic!("nothing was refused with {code}");
    }

    /// Passes until these packages were loaded, whatever else happens.
    pub async fn until_loaded(&mut self, names: &[&str]) {
        let mut missing: Vec<&str> = names.to_vec();
        for _ in 0..400 {
            let (report, _) = self.reconciler.reconcile().await.expect("a pass");
            for outcome in report.outcomes {
                if let Outcome::Loaded { name, .. } = outcome {
                    missing.retain(|wanted| *wanted != name);
                }
            }
            if missing.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not loaded: {missing:?}");
    }
}
