//! Options of a reconciler.

use crate::artifact::policy::VerifyOptions;
use crate::observer::{NoObserver, Observer};
use crate::plan::model::DrainPolicy;
use crate::plan::rollout::HealthPolicy;
use crate::runtime::probe::ProbeOptions;
use longshore_engine::clock::System;
use longshore_engine::{Clock, Rng};
use longshore_package::Digest;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The actor of packages that `longshore run` recorded, and that no host serves.
pub const RUN_ACTOR: &str = "run";

/// Options of a reconciler.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directories (or single files) that packages come from.
    pub directories: Vec<PathBuf>,
    /// The folder of the artifact cache.
    pub cache: PathBuf,
    /// The folder that archives from registries arrive in; what was taken in is removed from it.
    pub downloads: PathBuf,
    /// The time between two questions to a registry about a followed package.
    pub registry_interval: Duration,
    /// Options of the checks.
    pub verify: VerifyOptions,
    /// Options of probes; none to load without probing.
    pub probe: Option<ProbeOptions>,
    /// The most verbose log level packages send: 0 none, 1 error to 5 trace.
    pub log_level: u8,
    /// Longest time between passes: what file events miss is found then.
    pub interval: Duration,
    /// The digests that are opened for the runs that are pinned to them, whatever the sources offer; none for all.
    pub restore: Option<BTreeSet<Digest>>,
    /// True for a host that is there for a run: a package that no other host has taken in is recorded as [run](RUN_ACTOR), and
    /// what was cached of its version before goes.
    pub transient: bool,
    /// The time replaced and retired generations keep their runs.
    pub drain: DrainPolicy,
    /// The observation of a generation that replaced another; none to keep it whatever happens.
    pub health: Option<HealthPolicy>,
    /// The policy for libraries that stay mapped after they were closed.
    pub leaks: LeakPolicy,
    /// A folder that commands of other programs write to when they recorded an override.
    pub wake: Option<PathBuf>,
    /// Gets the phases of packages and their log lines.
    pub observer: Arc<dyn Observer>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The source of jitter.
    pub rng: Arc<dyn Rng>,
}

/// The policy for libraries that stay mapped after they were closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeakPolicy {
    /// Libraries that may stay mapped before the host reports it.
    pub budget: usize,
    /// Beyond the budget, a package whose library stays mapped gets a process of its own at its next load.
    pub isolate: bool,
}

impl Default for LeakPolicy {
    fn default() -> Self {
        Self { budget: 16, isolate: false }
    }
}

impl Options {
    /// The usual options: probed, relaxed, info, every five seconds.
    pub fn new(directories: Vec<PathBuf>, cache: PathBuf) -> Self {
        Self {
            directories,
            downloads: cache.with_file_name("downloads"),
            registry_interval: Duration::from_secs(60),
            cache,
            verify: VerifyOptions::default(),
            probe: Some(ProbeOptions::default()),
            log_level: 3,
            interval: Duration::from_secs(5),
            restore: None,
            transient: false,
            drain: DrainPolicy::default(),
            health: Some(HealthPolicy::default()),
            leaks: LeakPolicy::default(),
            wake: None,
            observer: Arc::new(NoObserver),
            clock: Arc::new(System),
            rng: Arc::new(System),
        }
    }
}
