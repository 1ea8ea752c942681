//! What to do, decided from what is desired and what is loaded.

use longshore_package::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// First pause after a failure; doubles up to [`MAX_BACKOFF_MS`].
pub const FIRST_BACKOFF_MS: i64 = 1_000;

/// See [`FIRST_BACKOFF_MS`]. Trying never stops for good.
pub const MAX_BACKOFF_MS: i64 = 300_000;

/// A package that a source offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// The digest.
    pub digest: Digest,
    /// The file.
    pub path: PathBuf,
}

/// What is loaded of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The package's name.
    pub name: String,
    /// The digest.
    pub digest: Digest,
    /// Whether new runs start on it; otherwise it only finishes what it has.
    pub active: bool,
    /// Unfinished runs that are pinned to it.
    pub pinned_runs: u64,
}

/// A digest that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// How often in a row.
    pub times: u32,
    /// When it is tried again.
    pub retry_at: i64,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Load a package; `replaces` is retired in the same moment.
    Load {
        /// What to load.
        package: Desired,
        /// The digest that is active now.
        replaces: Option<Digest>,
    },
    /// Nobody offers it any more: no new runs start on it.
    Retire {
        /// The package.
        name: String,
        /// The digest.
        digest: Digest,
    },
    /// It is retired and nothing needs it: close it.
    Unload {
        /// The package.
        name: String,
        /// The digest.
        digest: Digest,
    },
}

/// Why nothing is done about something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It failed, and its time has not come.
    BackingOff {
        /// The package.
        name: String,
        /// When it is tried again.
        retry_at: i64,
    },
    /// Runs that started on it are not over.
    Draining {
        /// The package.
        name: String,
        /// The digest.
        digest: Digest,
        /// How many.
        pinned_runs: u64,
    },
    /// A newer version of the same package is there too.
    Superseded {
        /// The file that does not count.
        package: Desired,
        /// The file that does.
        winner: PathBuf,
    },
}

/// What to do, and what not, with the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// What is left as it is although it is not as it should be.
    pub kept: Vec<Kept>,
}

/// Compares what sources offer with what is loaded.
pub fn plan(
    desired: &[Desired],
    observed: &[Observed],
    failures: &BTreeMap<Digest, Failure>,
    now: i64,
) -> Plan {
    let mut plan = Plan::default();
    let winners = winners(desired, &mut plan);
    for (name, package) in &winners {
        let active = observed.iter().find(|o| o.active && o.name == **name);
        if active.is_some_and(|o| o.digest == package.digest) {
            continue;
        }
        match failures.get(&package.digest) {
            Some(failure) if failure.retry_at > now => {
                plan.kept.push(Kept::BackingOff { name: (*name).to_owned(), retry_at: failure.retry_at });
            }
            _ => {
                let replaces = active.map(|o| o.digest.clone());
                plan.actions.push(Action::Load { package: (*package).clone(), replaces });
            }
        }
    }
    for loaded in observed {
        let (name, digest) = (loaded.name.clone(), loaded.digest.clone());
        if loaded.active {
            if !winners.contains_key(loaded.name.as_str()) {
                plan.actions.push(Action::Retire { name, digest });
            }
        } else if loaded.pinned_runs == 0 {
            plan.actions.push(Action::Unload { name, digest });
        } else {
            plan.kept.push(Kept::Draining { name, digest, pinned_runs: loaded.pinned_runs });
        }
    }
    plan
}

/// The offer that counts for each name: the highest version, then the first path.
fn winners<'d>(desired: &'d [Desired], plan: &mut Plan) -> BTreeMap<&'d str, &'d Desired> {
    let mut sorted: Vec<&Desired> = desired.iter().collect();
    sorted.sort_by(|a, b| {
        version_key(&b.version).cmp(&version_key(&a.version)).then_with(|| a.path.cmp(&b.path))
    });
    let mut winners: BTreeMap<&str, &Desired> = BTreeMap::new();
    let mut digests = BTreeSet::new();
    for package in sorted {
        match winners.get(package.name.as_str()) {
            None => {
                digests.insert(&package.digest);
                winners.insert(&package.name, package);
            }
            // The same package in two places is no conflict.
            Some(_) if digests.contains(&package.digest) => {}
            Some(winner) => {
                plan.kept.push(Kept::Superseded { package: package.clone(), winner: winner.path.clone() });
            }
        }
    }
    winners
}

/// Orders versions by their numbers; a pre-release comes before its release.
fn version_key(version: &str) -> (Vec<u64>, bool, String) {
    let version = version.split('+').next().unwrap_or(version);
    let (numbers, pre) = version.split_once('-').unwrap_or((version, ""));
    let numbers = numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    (numbers, pre.is_empty(), pre.to_owned())
}

/// The pause after the `times`-th failure in a row; `draw` is uniform in `0.0..1.0`.
pub fn backoff_ms(times: u32, draw: f64) -> i64 {
    let full = FIRST_BACKOFF_MS
        .saturating_mul(1_i64.checked_shl(times.saturating_sub(1).min(20)).unwrap_or(i64::MAX));
    let full = full.min(MAX_BACKOFF_MS);
    full / 2 + (full as f64 / 2.0 * draw.clamp(0.0, 1.0)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(name: &str) -> Digest {
        Digest::of_files([(name, "sum")])
    }

    fn offer(name: &str, version: &str) -> Desired {
        let path = PathBuf::from(format!("/packages/{name}-{version}.longshore"));
        Desired {
            name: name.into(),
            version: version.into(),
            digest: digest(&format!("{name}{version}")),
            path,
        }
    }

    fn loaded(package: &Desired, active: bool, pinned_runs: u64) -> Observed {
        Observed { name: package.name.clone(), digest: package.digest.clone(), active, pinned_runs }
    }

    #[test]
    fn nothing_changes_when_everything_is_as_it_should_be() {
        let package = offer("a", "1.0.0");
        let observed = [loaded(&package, true, 3)];
        assert_eq!(plan(&[package], &observed, &BTreeMap::new(), 0), Plan::default());
    }

    #[test]
    fn a_new_version_replaces_the_old_one() {
        let (old, new) = (offer("a", "1.9.0"), offer("a", "1.10.0"));
        let plan = plan(std::slice::from_ref(&new), &[loaded(&old, true, 1)], &BTreeMap::new(), 0);
        assert_eq!(plan.actions, [Action::Load { package: new, replaces: Some(old.digest) }]);
    }

    #[test]
    fn of_two_versions_side_by_side_the_higher_one_counts() {
        let (low, high) = (offer("a", "1.9.0"), offer("a", "1.10.0"));
        let plan = plan(&[low.clone(), high.clone()], &[], &BTreeMap::new(), 0);
        assert_eq!(plan.actions, [Action::Load { package: high.clone(), replaces: None }]);
        assert_eq!(plan.kept, [Kept::Superseded { package: low, winner: high.path }]);
    }

    #[test]
    fn a_retired_generation_stays_until_its_runs_are_over() {
        let old = offer("a", "1.0.0");
        let plan = |pinned| plan(&[], &[loaded(&old, false, pinned)], &BTreeMap::new(), 0);
        assert!(matches!(plan(2).kept[..], [Kept::Draining { pinned_runs: 2, .. }]));
        assert!(matches!(plan(0).actions[..], [Action::Unload { .. }]));
    }

    #[test]
    fn a_failure_is_tried_again_when_its_time_comes() {
        let package = offer("a", "1.0.0");
        let failures = BTreeMap::from([(package.digest.clone(), Failure { times: 1, retry_at: 10 })]);
        let plan = |now| plan(std::slice::from_ref(&package), &[], &failures, now);
        assert!(plan(9).actions.is_empty());
        assert_eq!(plan(10).actions.len(), 1);
    }

    proptest! {
        #[test]
        fn backoff_grows_and_is_bounded(times in 1_u32..100, draw in 0.0..1.0_f64) {
            let pause = backoff_ms(times, draw);
            prop_assert!((FIRST_BACKOFF_MS / 2..=MAX_BACKOFF_MS).contains(&pause));
        }

        #[test]
        fn carrying_a_plan_out_leaves_nothing_to_do(
            offered in proptest::collection::vec((0_u8..4, 0_u8..3), 0..6),
            before in proptest::collection::vec((0_u8..4, 0_u8..3, any::<bool>()), 0..6),
        ) {
            let named = |name: u8, version: u8| offer(&format!("p{name}"), &format!("{version}.0.0"));
            let desired: Vec<Desired> = offered.into_iter().map(|(n, v)| named(n, v)).collect();
            let mut observed: Vec<Observed> = Vec::new();
            for (n, v, active) in before {
                let package = named(n, v);
                let active = active && !observed.iter().any(|o| o.active && o.name == package.name);
                if !observed.iter().any(|o| o.digest == package.digest) {
                    observed.push(loaded(&package, active, 0));
                }
            }
            for _ in 0..2 {
                for action in plan(&desired, &observed, &BTreeMap::new(), 0).actions {
                    carry_out(action, &mut observed);
                }
            }
            prop_assert_eq!(plan(&desired, &observed, &BTreeMap::new(), 0).actions, vec![]);
        }
    }

    fn carry_out(action: Action, observed: &mut Vec<Observed>) {
        match action {
            Action::Load { package, replaces } => {
                for old in observed.iter_mut().filter(|o| Some(&o.digest) == replaces.as_ref()) {
                    old.active = false;
                }
                observed.retain(|o| o.digest != package.digest);
                observed.push(loaded(&package, true, 0));
            }
            Action::Retire { digest, .. } => {
                observed.iter_mut().filter(|o| o.digest == digest).for_each(|o| o.active = false);
            }
            Action::Unload { digest, .. } => observed.retain(|o| o.digest != digest),
        }
    }
}
