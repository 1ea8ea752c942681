//! The observation of a pass: loaded generations, pins, overrides.

use crate::error::{Error, SOURCE_LOST};
use crate::plan::model::{Desired, Drain, Observed, Origin};
use crate::readiness::is_problem;
use crate::reconcile::options::RUN_ACTOR;
use crate::reconcile::state::{Phase, Reconciler, Tracked};
use longshore_engine::embedded;
use longshore_package::{Digest, PackageName};
use longshore_store::{
    ConditionRow, Followed, Override, PackageRow, PackageState, PassInputs, Store, Subject,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The observation of a pass beside the offered files.
pub(super) struct Observation {
    pub(super) observed: Vec<Observed>,
    /// Unfinished runs by the digest they are pinned to.
    pub(super) pins: BTreeMap<Digest, u64>,
    pub(super) overrides: Vec<Arc<Override>>,
    /// When an operator asked for a retry last, by package.
    pub(super) retries: BTreeMap<PackageName, i64>,
    /// Packages that are followed in registries.
    pub(super) followed: Vec<Followed>,
}

/// Offers of registries: the releases that were taken in.
pub(super) fn followed_releases(followed: &[Followed]) -> impl Iterator<Item = Arc<Desired>> {
    followed.iter().filter_map(|followed| {
        let (version, digest) = followed.release.clone()?;
        let (name, origin) = (followed.name.clone(), Origin::Registry(followed.registry.as_str().into()));
        Some(Arc::new(Desired { name, version, digest, origin, overridden_by: None }))
    })
}

/// Pins and overrides from the database. Runs of programs that embed an engine are pinned to no package.
pub(super) async fn pass_inputs(store: &Store) -> Result<PassInputs, Error> {
    let mut inputs = PassInputs::load(store).await?;
    inputs.pins.retain(|digest, _| !embedded::is_embedded(digest));
    Ok(inputs)
}

impl Reconciler {
    /// Learns, once, what hosts before this one had loaded last, and from which files.
    pub(super) async fn load_recorded(&mut self) -> Result<(), Error> {
        if self.knows_recorded {
            return Ok(());
        }
        let mut packages = PackageRow::all(&self.journal.store).await?;
        packages.retain(|row| row.state == PackageState::Desired);
        let of_file = |row: &PackageRow| {
            let package = Desired {
                name: row.name.clone(),
                version: row.version.clone(),
                digest: row.digest.clone(),
                origin: Origin::Cache,
                overridden_by: None,
            };
            (!row.source.is_empty()).then(|| (PathBuf::from(&row.source), Arc::new(package)))
        };
        let lost = ConditionRow::all(&self.journal.store).await?;
        let is_lost = |path: &Path| {
            let subject = Subject::File(path).to_string();
            lost.iter().any(|c| c.subject == subject && c.reason == SOURCE_LOST && is_problem(c))
        };
        self.offers.remember(packages.iter().filter_map(of_file), is_lost);
        let only_run = packages.iter().filter(|row| row.actor == RUN_ACTOR);
        self.only_run = only_run.map(|row| (row.name.clone(), row.digest.clone())).collect();
        self.recorded = packages.into_iter().map(|row| (row.name, row.digest)).collect();
        self.knows_recorded = true;
        Ok(())
    }

    pub(super) async fn observe(&self) -> Result<Observation, Error> {
        let mut in_flight = BTreeMap::new();
        // Before the database is asked: a start that is being recorded now is in the one or the other.
        for (digest, tracked) in &self.tracked {
            if matches!(tracked.phase, Phase::Draining(_)) {
                in_flight.insert(digest.clone(), self.engine.in_flight(digest).await as u64);
            }
        }
        let PassInputs { mut pins, overrides, retries, followed } = pass_inputs(&self.journal.store).await?;
        if let Some(restore) = &self.restore {
            pins.retain(|digest, _| restore.contains(digest) || self.tracked.contains_key(digest));
        }
        let pinned = |digest: &Digest| {
            let recorded = pins.get(digest).copied().unwrap_or(0);
            recorded.max(in_flight.get(digest).copied().unwrap_or(0))
        };
        let observed = self.tracked.iter().filter_map(|(digest, tracked)| {
            let Tracked { generation, phase, source, .. } = tracked;
            let (active, drain) = match phase {
                Phase::Active { .. } => (true, Drain::default()),
                Phase::Draining(drain) => (false, *drain),
                Phase::Closing(_) => return None,
            };
            let (name, digest) = (generation.package().clone(), digest.clone());
            let source = source.clone();
            Some(Observed { pinned_runs: pinned(&digest), name, digest, source, active, drain })
        });
        let observed = observed.collect();
        let overrides = overrides.into_iter().map(Arc::new).collect();
        Ok(Observation { observed, pins, overrides, retries, followed })
    }
}
