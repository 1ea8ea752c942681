//! The plan of a pass, decided from the desired and the loaded packages. Pure: no clock, no file, no database.

mod desired;
pub mod model;
pub mod order;
pub mod rollout;
mod versions;

use desired::desired;
use longshore_engine::Backoff;
use longshore_package::{Digest, PackageName};
use model::{Action, Deferred, Desired, DrainPolicy, Failure, Observed, Plan, PlanInput};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Pauses after failures of a digest. Trying never stops for good.
pub const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// Compares what is desired with what is loaded, at `now` milliseconds since 1970.
pub fn plan(input: PlanInput<'_>, now: i64) -> Plan {
    let mut plan = Plan::default();
    let desired = desired(&input, &mut plan.deferred);
    let active: HashMap<&PackageName, &Digest> =
        input.observed.iter().filter(|o| o.active).map(|o| (&o.name, &o.digest)).collect();
    let backing_off = |digest: &Digest| input.failures.get(digest).filter(|f| f.retry_at > now);
    let renamed = renamed(&input, &desired, &active);
    let is_loaded = |package: &Arc<Desired>| active.get(&package.name) == Some(&&package.digest);
    let changed = || desired.iter().filter(|package| !is_loaded(package));
    // Two that wait for each other come together, whenever one of them is tried.
    let others_come = changed().any(|package| backing_off(&package.digest).is_none());
    for package in changed() {
        let replaces = active.get(&package.name).or_else(|| renamed.get(&package.digest)).copied();
        match backing_off(&package.digest).filter(|f| !(f.depends_on_others && others_come)) {
            Some(failure) => {
                let (name, digest) = (Some(package.name.clone()), package.digest.clone());
                plan.deferred.push(Deferred::BackingOff { name, digest, retry_at: failure.retry_at });
            }
            None => {
                let (package, replaces) = (Arc::clone(package), replaces.cloned());
                plan.actions.push(Action::Load { package, replaces });
            }
        }
    }
    restore(&input, &desired, backing_off, &mut plan);
    for loaded in input.observed {
        let (name, digest) = (loaded.name.clone(), loaded.digest.clone());
        if loaded.active {
            let is_desired = desired.binary_search_by(|package| package.name.cmp(&loaded.name)).is_ok();
            // One that is replaced goes when the other comes, and stays as long as that one is refused.
            if !is_desired && !renamed.values().any(|old| **old == digest) {
                let overridden_by = input.overrides.iter().find(|row| row.name == name).map(Arc::clone);
                plan.actions.push(Action::Retire { name, digest, overridden_by });
            }
        } else if desired.iter().any(|package| package.digest == loaded.digest) {
            // It is about to be active again.
        } else if loaded.pinned_runs == 0 {
            plan.actions.push(Action::Unload { name, digest });
        } else {
            drain(loaded, input.drain, now, &mut plan);
        }
    }
    plan.desired = desired;
    plan
}

/// The active digests that are desired no more because their files have another package now, by the digest of that one.
fn renamed<'s>(
    input: &PlanInput<'s>,
    desired: &'s [Arc<Desired>],
    active: &HashMap<&PackageName, &Digest>,
) -> HashMap<&'s Digest, &'s Digest> {
    let is_desired = |name: &PackageName| desired.binary_search_by(|package| package.name.cmp(name)).is_ok();
    let is_removed = |name: &PackageName| input.overrides.iter().any(|row| row.name == *name);
    let mut left: HashMap<&Path, &Digest> = HashMap::new();
    for loaded in input.observed.iter().filter(|o| o.active && !is_desired(&o.name) && !is_removed(&o.name)) {
        left.extend(loaded.source.as_deref().map(|source| (source, &loaded.digest)));
    }
    let new = desired.iter().filter(|package| !active.contains_key(&package.name));
    let in_place =
        new.filter_map(|package| Some((&package.digest, left.get(package.origin.file()?).copied()?)));
    in_place.collect()
}

/// The next step of an inactive generation with runs: time, then a request to stop, then its end.
fn drain(loaded: &Observed, policy: DrainPolicy, now: i64, plan: &mut Plan) {
    let (name, digest, pinned_runs) = (loaded.name.clone(), loaded.digest.clone(), loaded.pinned_runs);
    let passed = |since: i64, limit: Option<i64>| limit.is_some_and(|ms| now.saturating_sub(since) >= ms);
    match loaded.drain.cancelled_at {
        Some(at) if passed(at, policy.force_unload_ms) => {
            plan.actions.push(Action::ForceUnload { name, digest });
        }
        None if passed(loaded.drain.since, policy.deadline_ms) => {
            plan.actions.push(Action::Cancel { name, digest, pinned_runs });
        }
        _ => plan.deferred.push(Deferred::Draining { name, digest, pinned_runs }),
    }
}

/// Opens digests that runs are pinned to and that are neither desired nor loaded.
fn restore<'s>(
    input: &PlanInput<'s>,
    desired: &[Arc<Desired>],
    backing_off: impl Fn(&Digest) -> Option<&'s Failure>,
    plan: &mut Plan,
) {
    if input.pins.is_empty() {
        return;
    }
    let mut available: HashSet<&Digest> = desired.iter().map(|package| &package.digest).collect();
    available.extend(input.observed.iter().map(|loaded| &loaded.digest));
    for (digest, pinned_runs) in input.pins.iter().filter(|(digest, _)| !available.contains(digest)) {
        let digest = digest.clone();
        match backing_off(&digest) {
            Some(failure) => {
                plan.deferred.push(Deferred::BackingOff { name: None, digest, retry_at: failure.retry_at });
            }
            None => plan.actions.push(Action::Restore { digest, pinned_runs: *pinned_runs }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::model::{Drain, Origin};
    use super::*;
    use longshore_package::digest_of_files;
    use longshore_store::{Override, OverrideKind};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    fn digest(name: &str) -> Digest {
        digest_of_files([(name, "sum")])
    }

    fn offer(name: &str, version: &str) -> Arc<Desired> {
        let path = PathBuf::from(format!("/packages/{name}-{version}.longshore"));
        let digest = digest(&format!("{name}{version}"));
        let (origin, overridden_by) = (Origin::File(path), None);
        Arc::new(Desired { name: name.into(), version: version.into(), digest, origin, overridden_by })
    }

    fn planned(offered: &[Arc<Desired>], observed: &[Observed]) -> Plan {
        overridden(&[], offered, observed)
    }

    fn overridden(overrides: &[Arc<Override>], offered: &[Arc<Desired>], observed: &[Observed]) -> Plan {
        let (pins, failures) = (BTreeMap::new(), BTreeMap::new());
        let drain = DrainPolicy::default();
        plan(PlanInput { offered, overrides, observed, pins: &pins, failures: &failures, drain }, 0)
    }

    fn override_of(kind: OverrideKind, package: &Desired, avoid: Option<&Digest>) -> Arc<Override> {
        Arc::new(Override {
            name: package.name.clone(),
            kind,
            digest: Some(package.digest.clone()),
            version: package.version.clone(),
            avoid: avoid.cloned(),
            actor: "somebody".into(),
            reason: "because".into(),
            updated_at: 0,
        })
    }

    fn loaded(package: &Desired, active: bool, pinned_runs: u64) -> Observed {
        Observed {
            name: package.name.clone(),
            digest: package.digest.clone(),
            source: package.origin.file().map(Path::to_owned),
            active,
            pinned_runs,
            drain: Drain::default(),
        }
    }

    #[test]
    fn nothing_changes_when_everything_is_as_it_should_be() {
        let package = offer("a", "1.0.0");
        let observed = [loaded(&package, true, 3)];
        let plan = planned(&[package], &observed);
        let desired: Vec<&str> = plan.desired.iter().map(|package| package.name.as_str()).collect();
        assert_eq!((plan.actions, plan.deferred, desired), (vec![], vec![], vec!["a"]));
    }

    #[test]
    fn a_new_version_replaces_the_old_one() {
        let (old, new) = (offer("a", "1.9.0"), offer("a", "1.10.0"));
        let plan = planned(std::slice::from_ref(&new), &[loaded(&old, true, 1)]);
        assert_eq!(plan.actions, [Action::Load { package: new, replaces: Some(old.digest.clone()) }]);
    }

    #[test]
    fn a_package_whose_file_has_another_package_now_stays_until_that_one_comes() {
        let old = offer("old", "1.0.0");
        let new = Arc::new(Desired { origin: old.origin.clone(), ..(*offer("new", "1.0.0")).clone() });
        let running = [loaded(&old, true, 1)];
        let plan = planned(std::slice::from_ref(&new), &running);
        let replaces = Some(old.digest.clone());
        assert_eq!(plan.actions, [Action::Load { package: Arc::clone(&new), replaces }]);
        let failures = BTreeMap::from([(
            new.digest.clone(),
            Failure { times: 1, retry_at: 10, depends_on_others: false },
        )]);
        let input = PlanInput {
            offered: &[new],
            overrides: &[],
            observed: &running,
            pins: &BTreeMap::new(),
            failures: &failures,
            drain: DrainPolicy::default(),
        };
        assert_eq!(super::plan(input, 0).actions, [], "it was refused");
        let removed = [override_of(OverrideKind::Remove, &old, None)];
        let plan = overridden(&removed, &[offer("new", "1.0.0")], &running);
        assert!(matches!(plan.actions[..], [Action::Load { replaces: None, .. }, Action::Retire { .. }]));
    }

    #[test]
    fn of_two_versions_side_by_side_the_higher_one_counts() {
        let (low, high) = (offer("a", "1.9.0"), offer("a", "1.10.0"));
        let plan = planned(&[low.clone(), high.clone()], &[]);
        assert_eq!(plan.actions, [Action::Load { package: high.clone(), replaces: None }]);
        assert_eq!(plan.deferred, [Deferred::Superseded { package: low, winner: high.origin.clone() }]);
    }

    #[test]
    fn a_retired_generation_stays_until_its_runs_are_over() {
        let old = offer("a", "1.0.0");
        let plan = |pinned| planned(&[], &[loaded(&old, false, pinned)]);
        assert!(matches!(plan(2).deferred[..], [Deferred::Draining { pinned_runs: 2, .. }]));
        assert!(matches!(plan(0).actions[..], [Action::Unload { .. }]));
    }

    #[test]
    fn a_digest_that_runs_are_pinned_to_is_opened_for_them_unless_it_is_at_hand() {
        let (offered, open, gone) = (offer("a", "1.0.0"), offer("b", "1.0.0"), offer("c", "1.0.0"));
        let pins = [&offered, &open, &gone].map(|package| (package.digest.clone(), 2)).into();
        let input = PlanInput {
            offered: &[offered],
            overrides: &[],
            observed: &[loaded(&open, false, 2)],
            pins: &pins,
            failures: &BTreeMap::new(),
            drain: DrainPolicy::default(),
        };
        let actions = plan(input, 0).actions;
        assert!(matches!(&actions[..], [Action::Load { .. }, Action::Restore { digest, pinned_runs: 2 }]
            if *digest == gone.digest));
    }

    #[test]
    fn an_override_comes_before_every_offer() {
        let (old, new) = (offer("a", "1.0.0"), offer("a", "2.0.0"));
        let running = [loaded(&old, true, 0)];
        let both = [old.clone(), new.clone()];
        for kind in [OverrideKind::Pin, OverrideKind::Add, OverrideKind::Hold] {
            let plan = overridden(&[override_of(kind, &old, None)], &both, &running);
            assert_eq!(plan.actions, [], "{kind:?}");
            assert!(
                plan.deferred
                    .iter()
                    .any(|d| matches!(d, Deferred::Overridden { package, .. } if *package == new))
            );
        }
        let removed = overridden(&[override_of(OverrideKind::Remove, &old, None)], &both, &running);
        assert!(matches!(&removed.actions[..], [Action::Retire { .. }]), "{removed:?}");
        let held = overridden(&[override_of(OverrideKind::Hold, &old, None)], &[], &running);
        assert_eq!(held.actions, [], "the file is gone, and nothing happens");
        let restarted = overridden(&[override_of(OverrideKind::Hold, &old, None)], &both, &[]);
        assert!(
            matches!(&restarted.actions[..], [Action::Load { package, .. }] if package.digest == old.digest)
        );
    }

    #[test]
    fn a_rolled_back_digest_is_avoided_until_another_is_offered() {
        let (good, bad, mended) = (offer("a", "1.0.0"), offer("a", "2.0.0"), offer("a", "2.0.1"));
        let row = [override_of(OverrideKind::RollBack, &good, Some(&bad.digest))];
        let back = overridden(&row, std::slice::from_ref(&bad), &[loaded(&bad, true, 0)]);
        let load = |plan: &Plan| match &plan.actions[..] {
            [Action::Load { package, .. }] => (package.digest.clone(), package.origin.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(load(&back), (good.digest.clone(), Origin::Cache), "its file is gone");
        let on = overridden(&row, std::slice::from_ref(&mended), &[loaded(&good, true, 0)]);
        assert_eq!(load(&on).0, mended.digest);
    }

    #[test]
    fn a_generation_that_does_not_drain_is_cancelled_then_closed_over_its_runs() {
        let old = offer("a", "1.0.0");
        let drain = DrainPolicy { deadline_ms: Some(100), force_unload_ms: Some(50) };
        let at = |cancelled_at, now| {
            let mut observed = loaded(&old, false, 2);
            observed.drain = Drain { since: 0, cancelled_at };
            let (pins, failures) = (BTreeMap::new(), BTreeMap::new());
            let observed = &[observed];
            let input =
                PlanInput { offered: &[], overrides: &[], observed, pins: &pins, failures: &failures, drain };
            plan(input, now)
        };
        assert!(matches!(at(None, 99).deferred[..], [Deferred::Draining { .. }]));
        assert!(matches!(at(None, 100).actions[..], [Action::Cancel { pinned_runs: 2, .. }]));
        assert!(matches!(at(Some(100), 149).deferred[..], [Deferred::Draining { .. }]));
        assert!(matches!(at(Some(100), 150).actions[..], [Action::ForceUnload { .. }]));
        let (pins, failures) = (BTreeMap::new(), BTreeMap::new());
        let (offered, observed) = ([old.clone()], [loaded(&old, false, 2)]);
        let again = PlanInput {
            offered: &offered,
            overrides: &[],
            observed: &observed,
            pins: &pins,
            failures: &failures,
            drain,
        };
        assert!(matches!(&plan(again, 1000).actions[..], [Action::Load { .. }]), "it is desired again");
    }

    #[test]
    fn a_failure_is_tried_again_when_its_time_comes() {
        let package = offer("a", "1.0.0");
        let failures = BTreeMap::from([(
            package.digest.clone(),
            Failure { times: 1, retry_at: 10, depends_on_others: false },
        )]);
        let offered = [package];
        let (pins, drain) = (BTreeMap::new(), DrainPolicy::default());
        let input = PlanInput {
            offered: &offered,
            overrides: &[],
            observed: &[],
            pins: &pins,
            failures: &failures,
            drain,
        };
        let plan = |now| plan(input, now);
        assert!(plan(9).actions.is_empty());
        assert_eq!(plan(10).actions.len(), 1);
    }

    #[test]
    fn what_waits_for_others_is_tried_with_each_of_them() {
        let (waits, other) = (offer("a", "1.0.0"), offer("b", "1.0.0"));
        let failure = |depends_on_others| {
            let failure = Failure { times: 3, retry_at: 10, depends_on_others };
            BTreeMap::from([(waits.digest.clone(), failure)])
        };
        let loads = |offered: &[Arc<Desired>], depends_on_others| {
            let (pins, failures) = (BTreeMap::new(), failure(depends_on_others));
            let input = PlanInput {
                offered,
                overrides: &[],
                observed: &[],
                pins: &pins,
                failures: &failures,
                drain: DrainPolicy::default(),
            };
            plan(input, 0).actions.len()
        };
        let both = [waits.clone(), other];
        assert_eq!((loads(&both, true), loads(&both, false), loads(&both[..1], true)), (2, 1, 0));
    }

    proptest! {
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
            Action::Restore { .. } | Action::Cancel { .. } | Action::ForceUnload { .. } => {
                unreachable!("no run is pinned here")
            }
            Action::Unload { digest, .. } => observed.retain(|o| o.digest != digest),
        }
    }
}
