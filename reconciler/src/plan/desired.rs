//! The digest that is desired of each package: the best offer of the directories, or that of an override.
//!
//! An override comes before every offer. Among offers the highest version counts, then the first path.

use crate::plan::model::{Deferred, Desired, Origin, PlanInput};
use crate::plan::versions::version_key;
use longshore_package::Digest;
use longshore_store::{Override, OverrideKind};
use std::cmp::Reverse;
use std::sync::Arc;

/// The desired packages, one digest each, sorted by name. Offers that do not count are deferred.
pub(super) fn desired(input: &PlanInput<'_>, deferred: &mut Vec<Deferred>) -> Vec<Arc<Desired>> {
    let mut desired = best_offers(input.offered, deferred);
    for row in input.overrides {
        let place = desired.binary_search_by(|offer| offer.name.cmp(&row.name));
        let counts = apply_override(row, place.ok().map(|at| &desired[at]), input);
        if counts.as_ref().is_none_or(|counts| counts.overridden_by.is_some()) {
            // The override stands against every other offer, not the newest of them.
            let is_superseded =
                |d: &Deferred| matches!(d, Deferred::Superseded { package, .. } if package.name == row.name);
            deferred.retain(|d| !is_superseded(d));
            let wins = |offer: &Desired| counts.as_ref().is_some_and(|counts| counts.digest == offer.digest);
            let overridden = input.offered.iter().filter(|offer| offer.name == row.name && !wins(offer));
            deferred.extend(
                overridden.map(|o| Deferred::Overridden { package: Arc::clone(o), by: Arc::clone(row) }),
            );
        }
        match (place, counts) {
            (Ok(at), Some(counts)) => desired[at] = counts,
            (Ok(at), None) => drop(desired.remove(at)),
            (Err(at), Some(counts)) => desired.insert(at, counts),
            (Err(_), None) => {}
        }
    }
    desired
}

/// The desired version of a package with an override and this best offer.
fn apply_override(
    row: &Arc<Override>,
    offer: Option<&Arc<Desired>>,
    input: &PlanInput<'_>,
) -> Option<Arc<Desired>> {
    match row.kind {
        OverrideKind::Remove => None,
        OverrideKind::Hold => {
            let active = input.observed.iter().find(|o| o.active && o.name == row.name);
            // After a restart: the digest that was active when it was held.
            let digest = active.map_or(row.digest.as_ref(), |active| Some(&active.digest));
            Some(by_override(row, digest?, input))
        }
        OverrideKind::Add | OverrideKind::Pin => Some(by_override(row, row.digest.as_ref()?, input)),
        OverrideKind::RollBack => match offer.filter(|offer| Some(&offer.digest) != row.avoid.as_ref()) {
            Some(newer) => Some(Arc::clone(newer)),
            None => Some(by_override(row, row.digest.as_ref()?, input)),
        },
    }
}

/// A digest that an override asks for: from a file that has it, or from the artifact cache.
fn by_override(row: &Arc<Override>, digest: &Digest, input: &PlanInput<'_>) -> Arc<Desired> {
    let offered = input.offered.iter().find(|offer| offer.digest == *digest);
    let (version, origin) = match offered {
        Some(offer) => (offer.version.clone(), offer.origin.clone()),
        None => (row.version.clone(), Origin::Cache),
    };
    let overridden_by = Some(Arc::clone(row));
    Arc::new(Desired { name: row.name.clone(), version, digest: digest.clone(), origin, overridden_by })
}

/// The offer that counts for each name, sorted by name: the highest version, then the first path.
fn best_offers(offered: &[Arc<Desired>], deferred: &mut Vec<Deferred>) -> Vec<Arc<Desired>> {
    let mut offers: Vec<&Arc<Desired>> = offered.iter().collect();
    offers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut best = Vec::with_capacity(offers.len());
    for same_name in offers.chunk_by_mut(|a, b| a.name == b.name) {
        if same_name.len() > 1 {
            same_name.sort_by_cached_key(|o| (Reverse(version_key(&o.version)), o.origin.clone()));
        }
        let winner = same_name[0];
        // The same digest in two places is not a conflict.
        for package in same_name.iter().filter(|other| other.digest != winner.digest) {
            let (package, winner) = (Arc::clone(package), winner.origin.clone());
            deferred.push(Deferred::Superseded { package, winner });
        }
        best.push(Arc::clone(winner));
    }
    best
}
