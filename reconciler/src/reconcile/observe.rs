//! The observation of a pass: loaded generations, pins, overrides.

use crate::error::Error;
use crate::plan::model::{Drain, Observed};
use crate::reconcile::state::{Phase, Reconciler, Tracked};
use longshore_engine::embedded;
use longshore_package::Digest;
use longshore_store::{Override, PassInputs, Store};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The observation of a pass beside the offered files.
pub(super) struct Observation {
    pub(super) observed: Vec<Observed>,
    /// Unfinished runs by the digest they are pinned to.
    pub(super) pins: BTreeMap<Digest, u64>,
    pub(super) overrides: Vec<Arc<Override>>,
}

/// Pins and overrides from the database. Runs of programs that embed an engine are pinned to no package.
pub(super) async fn pass_inputs(store: &Store) -> Result<PassInputs, Error> {
    let mut inputs = PassInputs::load(store).await?;
    inputs.pins.retain(|digest, _| !embedded::is_embedded(digest));
    Ok(inputs)
}

impl Reconciler {
    pub(super) async fn observe(&self) -> Result<Observation, Error> {
        let mut in_flight = BTreeMap::new();
        // Before the database is asked: a start that is being recorded now is in the one or the other.
        for (digest, tracked) in &self.tracked {
            if matches!(tracked.phase, Phase::Draining(_)) {
                in_flight.insert(digest.clone(), self.engine.in_flight(digest).await as u64);
            }
        }
        let PassInputs { pins, overrides } = pass_inputs(&self.journal.store).await?;
        let pinned = |digest: &Digest| {
            let recorded = pins.get(digest).copied().unwrap_or(0);
            recorded.max(in_flight.get(digest).copied().unwrap_or(0))
        };
        let observed = self.tracked.iter().filter_map(|(digest, tracked)| {
            let Tracked { generation, phase, .. } = tracked;
            let (active, drain) = match phase {
                Phase::Active { .. } => (true, Drain::default()),
                Phase::Draining(drain) => (false, *drain),
                Phase::Closing(_) => return None,
            };
            let (name, digest) = (generation.package().clone(), digest.clone());
            Some(Observed { pinned_runs: pinned(&digest), name, digest, active, drain })
        });
        let observed = observed.collect();
        Ok(Observation { observed, pins, overrides: overrides.into_iter().map(Arc::new).collect() })
    }
}
