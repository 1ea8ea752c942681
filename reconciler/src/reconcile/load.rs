//! Packages on their way to be loaded: verified and probed side by side, opened in the order of their reactors, beside the
//! passes. A pass waits for them a moment and takes up those that are ready; what takes longer goes on until a later
//! pass.

use crate::error::{Error, StepError};
use crate::observer::PackagePhase;
use crate::plan::order::{Candidate, Outline, Turn, turns};
use crate::reconcile::loading::{Finished, Part, Purpose, Stage};
use crate::reconcile::report::Report;
use crate::reconcile::state::Reconciler;
use crate::runtime::generation::NotOpened;
use longshore_package::{Digest, PackageName};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The time that a pass waits for packages that are on their way. Most take less.
const LOAD_GRACE: Duration = Duration::from_secs(1);

/// The time that a retired package waits for others of which nobody knows yet whether they want its names.
const VERIFY_GRACE: Duration = Duration::from_secs(3);

/// The number of the load step that graphs without a reactor fail at.
const BOUND_GRAPHS_STEP: u8 = 5;

impl Reconciler {
    /// Begins with digests that are not on their way yet, gives up those that are not asked for any more, and takes up
    /// what is ready within a moment.
    pub(super) async fn load(
        &mut self,
        mut wanted: BTreeMap<Digest, Purpose>,
        retiring: &[Digest],
        report: &mut Report,
    ) -> Result<(), Error> {
        // A digest that is being closed is opened again after that.
        for digest in self.closing() {
            wanted.remove(&digest);
        }
        self.give_up_unwanted(&wanted);
        self.begin_wanted(wanted);
        let deadline = Instant::now() + LOAD_GRACE;
        let mut failed = None;
        loop {
            self.open_in_turn(report).await?;
            if self.register_opened(retiring, report).await? {
                continue;
            }
            if self.loadings.is_empty() {
                break;
            }
            let Some(finished) = self.loadings.next(deadline).await else { break };
            match self.advance(finished, report).await {
                // The database failed for this one: the others go on first.
                Err(Error::Store(error)) => failed = Some(error),
                advanced => advanced?,
            }
        }
        failed.map_or(Ok(()), |error| Err(Error::Store(error)))
    }

    pub(super) fn give_up_unwanted(&mut self, wanted: &BTreeMap<Digest, Purpose>) {
        let unwanted: Vec<Digest> =
            self.loadings.all.keys().filter(|digest| !wanted.contains_key(*digest)).cloned().collect();
        for digest in unwanted {
            match self.loadings.remove(&digest).map(|loading| loading.stage) {
                Some(Stage::Verifying(task)) => task.abort(),
                Some(Stage::Opened(generation)) => self.close_unpublished(generation),
                // An opening that nobody waits for is closed when it is through.
                Some(Stage::Verified(_) | Stage::Opening) | None => {}
            }
        }
    }

    fn begin_wanted(&mut self, wanted: BTreeMap<Digest, Purpose>) {
        let open = self.tracked.values().map(|tracked| tracked.generation.package().clone()).collect();
        let open: Arc<HashSet<PackageName>> = Arc::new(open);
        for (digest, purpose) in wanted {
            if let Some(loading) = self.loadings.all.get_mut(&digest) {
                loading.purpose = purpose;
                continue;
            }
            if let Purpose::Activate { package, .. } = &purpose {
                self.observer.phase(PackagePhase::Loading, package.name.as_str(), digest.as_str());
            }
            self.loadings.begin(digest, purpose, self.loader.clone(), Arc::clone(&open));
        }
    }

    /// Takes a loading a step further. What comes for one that was given up is closed, also when the digest is on its way
    /// again.
    async fn advance(&mut self, finished: Finished, report: &mut Report) -> Result<(), Error> {
        let Finished { digest, serial, part } = finished;
        let loading = self.loadings.all.get_mut(&digest).filter(|loading| loading.serial == serial);
        match (part, loading) {
            (Part::Verified(Ok(verified)), Some(loading)) => {
                loading.outline = Some(Outline::of(verified.artifact.record()));
                loading.warnings.clone_from(&verified.warnings);
                loading.stage = match self.tracked.get(&digest) {
                    Some(tracked) => Stage::Opened(Arc::clone(&tracked.generation)),
                    None => Stage::Verified(verified),
                };
                Ok(())
            }
            (Part::Opened(Ok(generation)), Some(loading)) => {
                loading.stage = Stage::Opened(generation);
                Ok(())
            }
            (Part::Opened(Ok(generation)), None) => {
                self.close_unpublished(generation);
                Ok(())
            }
            (Part::Opened(Err(NotOpened { error, remains })), loading) => {
                let is_wanted = loading.is_some();
                if let Some(remains) = remains {
                    self.close_remains(&digest, remains);
                }
                if is_wanted { self.refuse_loading(&digest, error, report).await } else { Ok(()) }
            }
            (Part::Verified(Err(error)), Some(_)) => self.refuse_loading(&digest, error, report).await,
            (Part::Verified(_), None) => Ok(()),
        }
    }

    /// Opens those whose turn it is, and refuses those that nobody can help.
    async fn open_in_turn(&mut self, report: &mut Report) -> Result<(), Error> {
        let catalog = self.packages.snapshot();
        let is_loaded = |name: &str| catalog.catalog.reactors.iter().any(|reactor| reactor.name == name);
        let desired =
            self.loadings.iter().filter_map(|(digest, loading)| Some((digest, loading, loading.package()?)));
        let (digests, candidates): (Vec<Digest>, Vec<Candidate<'_>>) = desired
            .map(|(digest, loading, package)| {
                let candidate = Candidate {
                    name: &package.name,
                    outline: loading.outline.as_ref(),
                    was_loaded: self.recorded.get(&package.name) == Some(digest),
                    is_open: matches!(loading.stage, Stage::Opening | Stage::Opened(_)),
                };
                (digest.clone(), candidate)
            })
            .unzip();
        let turns = turns(&candidates, is_loaded);
        for (digest, turn) in digests.iter().zip(turns) {
            match turn {
                Turn::Open => self.loadings.open(digest, self.loader.clone()),
                Turn::Wait => {}
                Turn::NoReactor { graph, reactor } => {
                    self.refuse_loading(digest, no_reactor(graph, reactor), report).await?;
                }
                Turn::Cycle { packages, graph, reactor } => {
                    let message = no_reactor(graph, reactor).to_string();
                    let error = Error::ReactorCycle { packages, message };
                    self.refuse_loading(digest, error, report).await?;
                }
            }
        }
        // Runs wait for these: they need no turn.
        let restores: Vec<Digest> = self
            .loadings
            .iter()
            .filter(|(_, loading)| loading.package().is_none() && matches!(loading.stage, Stage::Verified(_)))
            .map(|(digest, _)| digest.clone())
            .collect();
        for digest in restores {
            self.loadings.open(&digest, self.loader.clone());
        }
        Ok(())
    }

    /// True when a package on its way wants a name of an active generation, or may want one: it is not verified yet.
    pub(super) fn is_awaited_in_place_of(&self, digest: &Digest) -> bool {
        let Some(tracked) = self.tracked.get(digest) else { return false };
        let outline = Outline::of(tracked.generation.artifact().record());
        self.loadings.iter().filter(|(_, loading)| loading.package().is_some()).any(|(_, loading)| {
            match &loading.outline {
                Some(other) => other.conflicts_with(&outline),
                None => loading.began.elapsed() < VERIFY_GRACE,
            }
        })
    }

    /// Gives up what is on its way, at the shutdown of the host.
    pub(super) async fn stop_loading(&mut self, deadline: Instant) {
        self.give_up_unwanted(&BTreeMap::new());
        while let Some(finished) = self.loadings.next(deadline).await {
            // Nobody wants it: what is open is closed, and nothing is recorded.
            let _ = self.advance(finished, &mut Report::default()).await;
        }
    }
}

fn no_reactor(graph: String, reactor: String) -> Error {
    let error = Box::new(StepError::NoReactor { graph, reactor });
    Error::Step { step: BOUND_GRAPHS_STEP, name: "reactor-bound graphs", error }
}
