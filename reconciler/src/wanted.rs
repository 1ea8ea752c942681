//! Which digest counts for each package: what the directories offer, and what was decided about it.
//!
//! A decision comes before every offer. Among offers the highest version counts, then the first path.

use crate::plan::{Kept, Sight};
use longshore_package::Digest;
use longshore_store::{RegistryRow, Stance};
use std::cmp::Reverse;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the bytes of a digest are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In a file.
    File(PathBuf),
    /// In the host's private place, from an earlier load.
    Copy,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Copy => f.write_str("the private copy"),
        }
    }
}

/// A package that is offered, or that was decided for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// The digest.
    pub digest: Digest,
    /// Where it is.
    pub origin: Origin,
    /// The decision for it, when there is one.
    pub decision: Option<Arc<RegistryRow>>,
}

impl Desired {
    /// Why it is wanted.
    pub fn why(&self) -> String {
        match &self.decision {
            None => "the file is there".to_owned(),
            Some(row) => format!("{} by {}: {}", row.stance.as_str(), row.actor, row.reason),
        }
    }

    /// Who wants it.
    pub fn actor(&self) -> &str {
        self.decision.as_ref().map_or("directory", |row| &row.actor)
    }
}

/// What counts for each package, sorted by name. What is offered and does not count is noted.
pub(crate) fn wanted(sight: &Sight<'_>, kept: &mut Vec<Kept>) -> Vec<Arc<Desired>> {
    let mut wanted = best_offers(sight.desired, kept);
    for row in sight.registry {
        let place = wanted.binary_search_by(|offer| offer.name.as_str().cmp(&row.name));
        let counts = decided(row, place.ok().map(|at| &wanted[at]), sight);
        if counts.as_ref().is_none_or(|counts| counts.decision.is_some()) {
            // It is the decision that stands against every other offer, not the newest of them.
            kept.retain(|kept| !matches!(kept, Kept::Superseded { package, .. } if package.name == row.name));
            let wins = |offer: &Desired| counts.as_ref().is_some_and(|counts| counts.digest == offer.digest);
            let overruled = sight.desired.iter().filter(|o| o.name == row.name && !wins(o));
            kept.extend(
                overruled.map(|o| Kept::Overruled { package: Arc::clone(o), decision: Arc::clone(row) }),
            );
        }
        match (place, counts) {
            (Ok(at), Some(counts)) => wanted[at] = counts,
            (Ok(at), None) => drop(wanted.remove(at)),
            (Err(at), Some(counts)) => wanted.insert(at, counts),
            (Err(_), None) => {}
        }
    }
    wanted
}

/// What a decision makes of an offer.
fn decided(row: &Arc<RegistryRow>, offer: Option<&Arc<Desired>>, sight: &Sight<'_>) -> Option<Arc<Desired>> {
    match row.stance {
        Stance::Removed => None,
        Stance::Held => {
            let active = sight.observed.iter().find(|o| o.active && o.name == row.name);
            let digest = match active {
                Some(active) => active.digest.clone(),
                // After a restart: what was active when it was held.
                None => Digest::parse(&row.digest)?,
            };
            Some(of_decision(row, &digest, &row.version, sight))
        }
        Stance::Added | Stance::Pinned => {
            Some(of_decision(row, &Digest::parse(&row.digest)?, &row.version, sight))
        }
        Stance::RolledBack => match offer.filter(|offer| offer.digest.as_str() != row.avoid) {
            Some(newer) => Some(Arc::clone(newer)),
            None => Some(of_decision(row, &Digest::parse(&row.digest)?, &row.version, sight)),
        },
    }
}

/// A digest that was decided for: a file that has it, or the private copy.
fn of_decision(row: &Arc<RegistryRow>, digest: &Digest, version: &str, sight: &Sight<'_>) -> Arc<Desired> {
    let offered = sight.desired.iter().find(|offer| offer.digest == *digest);
    let (version, origin) = match offered {
        Some(offer) => (offer.version.clone(), offer.origin.clone()),
        None => (version.to_owned(), Origin::Copy),
    };
    let decision = Some(Arc::clone(row));
    Arc::new(Desired { name: row.name.clone(), version, digest: digest.clone(), origin, decision })
}

/// The offer that counts for each name, sorted by name: the highest version, then the first path.
fn best_offers(desired: &[Arc<Desired>], kept: &mut Vec<Kept>) -> Vec<Arc<Desired>> {
    let mut offers: Vec<&Arc<Desired>> = desired.iter().collect();
    offers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut best = Vec::with_capacity(offers.len());
    for same_name in offers.chunk_by_mut(|a, b| a.name == b.name) {
        if same_name.len() > 1 {
            same_name.sort_by_cached_key(|o| (Reverse(version_key(&o.version)), o.origin.clone()));
        }
        let winner = same_name[0];
        // The same package in two places is no conflict.
        for package in same_name.iter().filter(|other| other.digest != winner.digest) {
            let (package, winner) = (Arc::clone(package), winner.origin.clone());
            kept.push(Kept::Superseded { package, winner });
        }
        best.push(Arc::clone(winner));
    }
    best
}

/// Orders versions by their numbers; a pre-release comes before its release.
fn version_key(version: &str) -> (Vec<u64>, bool, String) {
    let version = version.split('+').next().unwrap_or(version);
    let (numbers, pre) = version.split_once('-').unwrap_or((version, ""));
    let numbers = numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    (numbers, pre.is_empty(), pre.to_owned())
}
