//! [`Loadings`]: the digests on their way to be loaded, and the tasks that work on them.

use crate::artifact::warning::Warning;
use crate::blocking::PARALLEL;
use crate::error::Error;
use crate::plan::model::Desired;
use crate::plan::order::Outline;
use crate::reconcile::prepare::{Loader, Verified};
use crate::runtime::generation::{Generation, NotOpened};
use futures_util::FutureExt;
use longshore_package::{Digest, PackageName};
use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// The purpose of a loading.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// New runs start on it, in the place of the digest that it replaces.
    Activate { package: Arc<Desired>, replaces: Option<Digest> },
    /// Runs are pinned to it.
    Restore { pinned_runs: u64 },
}

/// A digest on its way.
pub(super) struct Loading {
    /// Tells it from an earlier loading of the same digest.
    pub(super) serial: u64,
    pub(super) purpose: Purpose,
    pub(super) stage: Stage,
    pub(super) outline: Option<Outline>,
    pub(super) warnings: Vec<Warning>,
    pub(super) began: Instant,
}

/// The stage of a loading.
pub(super) enum Stage {
    /// It is read, checked and probed.
    Verifying(AbortHandle),
    /// It may be opened when its turn comes.
    Verified(Box<Verified>),
    /// Its library is being opened.
    Opening,
    /// It may be registered.
    Opened(Arc<Generation>),
}

/// A finished part of a loading.
pub(super) struct Finished {
    pub(super) digest: Digest,
    /// Of the loading that it is a part of.
    pub(super) serial: u64,
    pub(super) part: Part,
}

/// The parts of a loading, each with its result.
pub(super) enum Part {
    Verified(Result<Box<Verified>, Error>),
    Opened(Result<Arc<Generation>, NotOpened>),
}

/// Every digest on its way, with the tasks that work on it.
pub(super) struct Loadings {
    pub(super) all: BTreeMap<Digest, Loading>,
    tasks: JoinSet<Finished>,
    begun: u64,
    permits: Arc<Semaphore>,
}

impl Default for Loadings {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            tasks: JoinSet::new(),
            begun: 0,
            permits: Arc::new(Semaphore::new(*PARALLEL)),
        }
    }
}

impl Loadings {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Digest, &Loading)> {
        self.all.iter()
    }

    pub(super) fn remove(&mut self, digest: &Digest) -> Option<Loading> {
        self.all.remove(digest)
    }

    /// True when a package is on its way.
    pub(super) fn has(&self, package: &PackageName) -> bool {
        self.all.values().any(|loading| loading.package().is_some_and(|desired| desired.name == *package))
    }

    /// True when a digest is on its way.
    pub(super) fn has_digest(&self, digest: &Digest) -> bool {
        self.all.contains_key(digest)
    }

    fn spawn(
        &mut self,
        digest: &Digest,
        serial: u64,
        work: impl Future<Output = Part> + Send + 'static,
    ) -> AbortHandle {
        let (digest, permits) = (digest.clone(), Arc::clone(&self.permits));
        self.tasks.spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire_owned().await;
            Finished { digest, serial, part: work.await }
        })
    }

    /// Begins with a digest.
    pub(super) fn begin(
        &mut self,
        digest: Digest,
        purpose: Purpose,
        loader: Loader,
        open_packages: Arc<HashSet<PackageName>>,
    ) {
        let package = match &purpose {
            Purpose::Activate { package, .. } => Some(Arc::clone(package)),
            Purpose::Restore { .. } => None,
        };
        let asked = digest.clone();
        let verify = async move {
            let verified = AssertUnwindSafe(loader.verify(&asked, package.as_deref(), &open_packages))
                .catch_unwind()
                .await;
            Part::Verified(verified.unwrap_or_else(|panic| Err(panicked(&*panic))).map(Box::new))
        };
        self.begun += 1;
        let serial = self.begun;
        let stage = Stage::Verifying(self.spawn(&digest, serial, verify));
        let began = Instant::now();
        let loading = Loading { serial, purpose, stage, outline: None, warnings: Vec::new(), began };
        self.all.insert(digest, loading);
    }

    /// Opens a verified digest.
    pub(super) fn open(&mut self, digest: &Digest, loader: Loader) {
        let Some(loading) = self.all.get_mut(digest) else { return };
        let Stage::Verified(verified) = std::mem::replace(&mut loading.stage, Stage::Opening) else { return };
        let (artifact, serial) = (verified.artifact, loading.serial);
        // Not caught: a panic in between would lose what is open.
        self.spawn(digest, serial, async move { Part::Opened(loader.open(artifact).await) });
    }

    /// The next part that is finished. None when there is none until `deadline`.
    pub(super) async fn next(&mut self, deadline: Instant) -> Option<Finished> {
        loop {
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(Ok(finished))) => return Some(finished),
                // It was aborted.
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Loading {
    pub(super) fn package(&self) -> Option<&Arc<Desired>> {
        match &self.purpose {
            Purpose::Activate { package, .. } => Some(package),
            Purpose::Restore { .. } => None,
        }
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Error::Panicked { message: text.unwrap_or("without a message").to_owned() }
}
