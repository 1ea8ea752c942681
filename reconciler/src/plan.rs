//! What to do, decided from what is desired and what is loaded.

use crate::wanted::{Desired, Origin, wanted};
use longshore_package::Digest;
use longshore_store::RegistryRow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// First pause after a failure; doubles up to [`MAX_BACKOFF_MS`].
pub const FIRST_BACKOFF_MS: i64 = 1_000;

/// See [`FIRST_BACKOFF_MS`]. Trying never stops for good.
pub const MAX_BACKOFF_MS: i64 = 300_000;

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
    /// How far its end is, when it is not active.
    pub drain: Drain,
}

/// How far the end of a generation is that is not active.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drain {
    /// Since when.
    pub since: i64,
    /// When its runs were asked to stop.
    pub cancelled_at: Option<i64>,
}

/// How long generations that are not active keep what they have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrainPolicy {
    /// After this many milliseconds the runs are cancelled; none to wait for ever.
    pub deadline_ms: Option<i64>,
    /// So long after they were cancelled the generation is closed over attempts that do not stop; none to wait.
    pub orphan_ms: Option<i64>,
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
        package: Arc<Desired>,
        /// The digest that is active now.
        replaces: Option<Digest>,
    },
    /// Nobody offers it any more, or it was removed: no new runs start on it.
    Retire {
        /// The package.
        name: String,
        /// The digest.
        digest: Digest,
        /// The decision to remove it, when there is one.
        decision: Option<Arc<RegistryRow>>,
    },
    /// Runs are pinned to a digest that no source offers and that is not open: open it for them.
    Restore {
        /// The digest.
        digest: Digest,
        /// How many.
        pinned_runs: u64,
    },
    /// It is retired, and its deadline has passed: ask its runs to stop.
    Cancel {
        /// The package.
        name: String,
        /// The digest.
        digest: Digest,
        /// How many.
        pinned_runs: u64,
    },
    /// Its runs were asked to stop and did not: close it, and count what it was doing as lost.
    Orphan {
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
        /// The package, or the digest.
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
        package: Arc<Desired>,
        /// The place of the one that does.
        winner: Origin,
    },
    /// It is offered, and something else was decided.
    Overruled {
        /// What does not count.
        package: Arc<Desired>,
        /// The decision.
        decision: Arc<RegistryRow>,
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

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'s> {
    /// What the directories offer.
    pub desired: &'s [Arc<Desired>],
    /// What was decided, by package.
    pub registry: &'s [Arc<RegistryRow>],
    /// What is open.
    pub observed: &'s [Observed],
    /// Unfinished runs by the digest they are pinned to.
    pub pins: &'s BTreeMap<Digest, u64>,
    /// Digests that failed.
    pub failures: &'s BTreeMap<Digest, Failure>,
    /// How long old generations keep what they have.
    pub drain: DrainPolicy,
}

/// Pins as the database says them, by digest. Runs of programs that embed an engine are pinned to no package.
pub(crate) fn pins_by_digest(pins: &BTreeMap<String, i64>) -> BTreeMap<Digest, u64> {
    let packaged = pins.iter().filter_map(|(digest, n)| Some((Digest::parse(digest)?, *n)));
    packaged.map(|(digest, n)| (digest, u64::try_from(n).unwrap_or(0))).collect()
}

/// Compares what is wanted with what is open.
pub fn plan(sight: Sight<'_>, now: i64) -> Plan {
    let mut plan = Plan::default();
    let wanted = wanted(&sight, &mut plan.kept);
    let active: HashMap<&str, &Digest> =
        sight.observed.iter().filter(|o| o.active).map(|o| (o.name.as_str(), &o.digest)).collect();
    let backing_off = |digest: &Digest| sight.failures.get(digest).filter(|f| f.retry_at > now);
    for package in &wanted {
        let name = package.name.as_str();
        let replaces = active.get(name).copied();
        if replaces == Some(&package.digest) {
            continue;
        }
        if let Some(failure) = backing_off(&package.digest) {
            plan.kept.push(Kept::BackingOff { name: name.to_owned(), retry_at: failure.retry_at });
        } else {
            plan.actions.push(Action::Load { package: Arc::clone(package), replaces: replaces.cloned() });
        }
    }
    restore(&sight, &wanted, backing_off, &mut plan);
    for loaded in sight.observed {
        let (name, digest) = (loaded.name.clone(), loaded.digest.clone());
        if loaded.active {
            if wanted.binary_search_by(|package| package.name.cmp(&loaded.name)).is_err() {
                let decision = sight.registry.iter().find(|row| row.name == name).map(Arc::clone);
                plan.actions.push(Action::Retire { name, digest, decision });
            }
        } else if wanted.iter().any(|package| package.digest == loaded.digest) {
            // It is about to be active again.
        } else if loaded.pinned_runs == 0 {
            plan.actions.push(Action::Unload { name, digest });
        } else {
            drain(loaded, sight.drain, now, &mut plan);
        }
    }
    plan
}

/// What a generation with runs is in for that is not active: time, then a request to stop, then its end.
fn drain(loaded: &Observed, policy: DrainPolicy, now: i64, plan: &mut Plan) {
    let (name, digest, pinned_runs) = (loaded.name.clone(), loaded.digest.clone(), loaded.pinned_runs);
    let passed = |since: i64, limit: Option<i64>| limit.is_some_and(|ms| now.saturating_sub(since) >= ms);
    match loaded.drain.cancelled_at {
        Some(at) if passed(at, policy.orphan_ms) => plan.actions.push(Action::Orphan { name, digest }),
        None if passed(loaded.drain.since, policy.deadline_ms) => {
            plan.actions.push(Action::Cancel { name, digest, pinned_runs });
        }
        _ => plan.kept.push(Kept::Draining { name, digest, pinned_runs }),
    }
}

/// Opens what runs are pinned to and nobody offers any more.
fn restore<'s>(
    sight: &Sight<'s>,
    wanted: &[Arc<Desired>],
    backing_off: impl Fn(&Digest) -> Option<&'s Failure>,
    plan: &mut Plan,
) {
    if sight.pins.is_empty() {
        return;
    }
    let mut at_hand: HashSet<&Digest> = wanted.iter().map(|package| &package.digest).collect();
    at_hand.extend(sight.observed.iter().map(|loaded| &loaded.digest));
    for (digest, pinned_runs) in sight.pins.iter().filter(|(digest, _)| !at_hand.contains(digest)) {
        match backing_off(digest) {
            Some(failure) => {
                let name = digest.as_str().to_owned();
                plan.kept.push(Kept::BackingOff { name, retry_at: failure.retry_at });
            }
            None => {
                plan.actions.push(Action::Restore { digest: digest.clone(), pinned_runs: *pinned_runs });
            }
        }
    }
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
    use longshore_store::Stance;
    use proptest::prelude::*;
    use std::path::PathBuf;

    fn digest(name: &str) -> Digest {
        Digest::of_files([(name, "sum")])
    }

    fn offer(name: &str, version: &str) -> Arc<Desired> {
        let path = PathBuf::from(format!("/packages/{name}-{version}.longshore"));
        let digest = digest(&format!("{name}{version}"));
        let (origin, decision) = (Origin::File(path), None);
        Arc::new(Desired { name: name.into(), version: version.into(), digest, origin, decision })
    }

    fn planned(desired: &[Arc<Desired>], observed: &[Observed]) -> Plan {
        decided(&[], desired, observed)
    }

    fn decided(registry: &[Arc<RegistryRow>], desired: &[Arc<Desired>], observed: &[Observed]) -> Plan {
        let (pins, failures) = (BTreeMap::new(), BTreeMap::new());
        let drain = DrainPolicy::default();
        plan(Sight { desired, registry, observed, pins: &pins, failures: &failures, drain }, 0)
    }

    fn decision(stance: Stance, package: &Desired, avoid: &str) -> Arc<RegistryRow> {
        Arc::new(RegistryRow {
            name: package.name.clone(),
            stance,
            digest: package.digest.as_str().to_owned(),
            version: package.version.clone(),
            avoid: avoid.to_owned(),
            actor: "somebody".into(),
            reason: "because".into(),
            updated_at: 0,
        })
    }

    fn loaded(package: &Desired, active: bool, pinned_runs: u64) -> Observed {
        Observed {
            name: package.name.clone(),
            digest: package.digest.clone(),
            active,
            pinned_runs,
            drain: Drain::default(),
        }
    }

    #[test]
    fn nothing_changes_when_everything_is_as_it_should_be() {
        let package = offer("a", "1.0.0");
        let observed = [loaded(&package, true, 3)];
        assert_eq!(planned(&[package], &observed), Plan::default());
    }

    #[test]
    fn a_new_version_replaces_the_old_one() {
        let (old, new) = (offer("a", "1.9.0"), offer("a", "1.10.0"));
        let plan = planned(std::slice::from_ref(&new), &[loaded(&old, true, 1)]);
        assert_eq!(plan.actions, [Action::Load { package: new, replaces: Some(old.digest.clone()) }]);
    }

    #[test]
    fn of_two_versions_side_by_side_the_higher_one_counts() {
        let (low, high) = (offer("a", "1.9.0"), offer("a", "1.10.0"));
        let plan = planned(&[low.clone(), high.clone()], &[]);
        assert_eq!(plan.actions, [Action::Load { package: high.clone(), replaces: None }]);
        assert_eq!(plan.kept, [Kept::Superseded { package: low, winner: high.origin.clone() }]);
    }

    #[test]
    fn a_retired_generation_stays_until_its_runs_are_over() {
        let old = offer("a", "1.0.0");
        let plan = |pinned| planned(&[], &[loaded(&old, false, pinned)]);
        assert!(matches!(plan(2).kept[..], [Kept::Draining { pinned_runs: 2, .. }]));
        assert!(matches!(plan(0).actions[..], [Action::Unload { .. }]));
    }

    #[test]
    fn a_digest_that_runs_are_pinned_to_is_opened_for_them_unless_it_is_at_hand() {
        let (offered, open, gone) = (offer("a", "1.0.0"), offer("b", "1.0.0"), offer("c", "1.0.0"));
        let pins = [&offered, &open, &gone].map(|package| (package.digest.clone(), 2)).into();
        let sight = Sight {
            desired: &[offered],
            registry: &[],
            observed: &[loaded(&open, false, 2)],
            pins: &pins,
            failures: &BTreeMap::new(),
            drain: DrainPolicy::default(),
        };
        let actions = plan(sight, 0).actions;
        assert!(matches!(&actions[..], [Action::Load { .. }, Action::Restore { digest, pinned_runs: 2 }]
            if *digest == gone.digest));
    }

    #[test]
    fn a_decision_comes_before_every_offer() {
        let (old, new) = (offer("a", "1.0.0"), offer("a", "2.0.0"));
        let running = [loaded(&old, true, 0)];
        let both = [old.clone(), new.clone()];
        for stance in [Stance::Pinned, Stance::Added, Stance::Held] {
            let plan = decided(&[decision(stance, &old, "")], &both, &running);
            assert_eq!(plan.actions, [], "{stance:?}");
            assert!(
                plan.kept.iter().any(|k| matches!(k, Kept::Overruled { package, .. } if *package == new))
            );
        }
        let removed = decided(&[decision(Stance::Removed, &old, "")], &both, &running);
        assert!(matches!(&removed.actions[..], [Action::Retire { .. }]), "{removed:?}");
        let held = decided(&[decision(Stance::Held, &old, "")], &[], &running);
        assert_eq!(held.actions, [], "the file is gone, and nothing happens");
        let restarted = decided(&[decision(Stance::Held, &old, "")], &both, &[]);
        assert!(
            matches!(&restarted.actions[..], [Action::Load { package, .. }] if package.digest == old.digest)
        );
    }

    #[test]
    fn a_rolled_back_digest_is_avoided_until_another_is_offered() {
        let (good, bad, mended) = (offer("a", "1.0.0"), offer("a", "2.0.0"), offer("a", "2.0.1"));
        let row = [decision(Stance::RolledBack, &good, bad.digest.as_str())];
        let back = decided(&row, std::slice::from_ref(&bad), &[loaded(&bad, true, 0)]);
        let load = |plan: &Plan| match &plan.actions[..] {
            [Action::Load { package, .. }] => (package.digest.clone(), package.origin.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(load(&back), (good.digest.clone(), Origin::Copy), "its file is gone");
        let on = decided(&row, std::slice::from_ref(&mended), &[loaded(&good, true, 0)]);
        assert_eq!(load(&on).0, mended.digest);
    }

    #[test]
    fn a_generation_that_does_not_drain_is_cancelled_then_orphaned() {
        let old = offer("a", "1.0.0");
        let drain = DrainPolicy { deadline_ms: Some(100), orphan_ms: Some(50) };
        let at = |cancelled_at, now| {
            let mut observed = loaded(&old, false, 2);
            observed.drain = Drain { since: 0, cancelled_at };
            let (pins, failures) = (BTreeMap::new(), BTreeMap::new());
            let observed = &[observed];
            let sight =
                Sight { desired: &[], registry: &[], observed, pins: &pins, failures: &failures, drain };
            plan(sight, now)
        };
        assert!(matches!(at(None, 99).kept[..], [Kept::Draining { .. }]));
        assert!(matches!(at(None, 100).actions[..], [Action::Cancel { pinned_runs: 2, .. }]));
        assert!(matches!(at(Some(100), 149).kept[..], [Kept::Draining { .. }]));
        assert!(matches!(at(Some(100), 150).actions[..], [Action::Orphan { .. }]));
        let (pins, failures) = (BTreeMap::new(), BTreeMap::new());
        let (desired, observed) = ([old.clone()], [loaded(&old, false, 2)]);
        let again = Sight {
            desired: &desired,
            registry: &[],
            observed: &observed,
            pins: &pins,
            failures: &failures,
            drain,
        };
        assert!(matches!(&plan(again, 1000).actions[..], [Action::Load { .. }]), "it is wanted again");
    }

    #[test]
    fn a_failure_is_tried_again_when_its_time_comes() {
        let package = offer("a", "1.0.0");
        let failures = BTreeMap::from([(package.digest.clone(), Failure { times: 1, retry_at: 10 })]);
        let desired = [package];
        let (pins, drain) = (BTreeMap::new(), DrainPolicy::default());
        let sight = Sight {
            desired: &desired,
            registry: &[],
            observed: &[],
            pins: &pins,
            failures: &failures,
            drain,
        };
        let plan = |now| plan(sight, now);
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
            let desired: Vec<Arc<Desired>> = offered.into_iter().map(|(n, v)| named(n, v)).collect();
            let mut observed: Vec<Observed> = Vec::new();
            for (n, v, active) in before {
                let package = named(n, v);
                let active = active && !observed.iter().any(|o| o.active && o.name == package.name);
                if !observed.iter().any(|o| o.digest == package.digest) {
                    observed.push(loaded(&package, active, 0));
                }
            }
            for _ in 0..2 {
                for action in planned(&desired, &observed).actions {
                    carry_out(action, &mut observed);
                }
            }
            prop_assert_eq!(planned(&desired, &observed).actions, vec![]);
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
            Action::Restore { .. } | Action::Cancel { .. } | Action::Orphan { .. } => {
                unreachable!("no run is pinned here")
            }
            Action::Unload { digest, .. } => observed.retain(|o| o.digest != digest),
        }
    }
}
