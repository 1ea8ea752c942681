//! The order in which packages are opened, decided by what their static records declare and need, before anything is
//! opened.

use longshore_engine::PackageTenants;
use longshore_package::{PackageName, StaticRecord, WorkflowRecord};
use longshore_store::TenantId;
use std::collections::BTreeSet;

/// The names of a package that one package at a time may have on a host, and the reactors that its graphs need.
#[derive(Debug, Clone, Default)]
pub struct Outline {
    workflows: BTreeSet<(TenantId, String)>,
    triggers: BTreeSet<String>,
    reactors: BTreeSet<String>,
    /// Graph and reactor, as their author names them.
    bound: Vec<(String, String)>,
    tenants: PackageTenants,
}

impl Outline {
    /// The outline of a package by its static record.
    pub fn of(record: &StaticRecord) -> Self {
        let key =
            |workflow: &WorkflowRecord| (TenantId::from(workflow.tenant.as_str()), workflow.name.clone());
        let workflows: BTreeSet<(TenantId, String)> = record.workflows.iter().map(key).collect();
        let tenants = PackageTenants::of(workflows.iter().map(|(tenant, name)| (tenant, name.as_str())));
        Self {
            triggers: record.triggers.iter().map(|t| tenants.trigger_name(&t.workflow, &t.name)).collect(),
            reactors: record.reactors.iter().map(|r| tenants.reactor_name(&r.name)).collect(),
            bound: record
                .graphs
                .iter()
                .filter(|graph| !graph.reactor.is_empty())
                .map(|graph| (graph.name.clone(), graph.reactor.clone()))
                .collect(),
            workflows,
            tenants,
        }
    }

    /// The first graph whose reactor neither the package nor anybody else has, and that reactor.
    pub fn lacks(&self, is_there: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
        let has = |name: &str| self.reactors.contains(name) || is_there(name);
        let lacking = |(_, reactor): &&(String, String)| !has(&self.tenants.reactor_meant(reactor, has));
        self.bound.iter().find(lacking).map(|(graph, reactor)| (graph.as_str(), reactor.as_str()))
    }

    /// True when the two cannot be registered at the same time.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        !self.workflows.is_disjoint(&other.workflows)
            || !self.triggers.is_disjoint(&other.triggers)
            || !self.reactors.is_disjoint(&other.reactors)
    }
}

/// A package that is on its way to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'c> {
    /// The package.
    pub name: &'c PackageName,
    /// Its outline; none while it is being verified.
    pub outline: Option<&'c Outline>,
    /// True when this very digest was loaded last: it keeps its names when others want them too.
    pub was_loaded: bool,
    /// True when it is open or being opened.
    pub is_open: bool,
}

/// The next step of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is opened.
    Open,
    /// Others come first.
    Wait,
    /// A graph is bound to a reactor that nobody has.
    NoReactor {
        /// The graph.
        graph: String,
        /// The reactor.
        reactor: String,
    },
    /// It needs a reactor of a package that waits as well.
    Cycle {
        /// Every package that waits.
        packages: Vec<PackageName>,
        /// The graph.
        graph: String,
        /// The reactor.
        reactor: String,
    },
}

/// The next step of each candidate, where `is_loaded` tells of the reactors that are loaded by their names on the host.
pub fn turns(candidates: &[Candidate<'_>], is_loaded: impl Fn(&str) -> bool) -> Vec<Turn> {
    let is_unknown = candidates.iter().any(|candidate| candidate.outline.is_none());
    let mut turns: Vec<Turn> =
        (0..candidates.len()).map(|at| turn(candidates, at, &is_loaded, is_unknown)).collect();
    let goes_on = |(candidate, turn): (&Candidate<'_>, &Turn)| candidate.is_open || *turn == Turn::Open;
    if !is_unknown && !candidates.iter().zip(&turns).any(goes_on) {
        end_waiting(candidates, &mut turns, is_loaded);
    }
    turns
}

fn turn(candidates: &[Candidate<'_>], at: usize, is_loaded: impl Fn(&str) -> bool, is_unknown: bool) -> Turn {
    let candidate = &candidates[at];
    let Some(outline) = candidate.outline else { return Turn::Wait };
    if candidate.is_open {
        return Turn::Wait;
    }
    let others = || candidates.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
    if let Some((graph, reactor)) = outline.lacks(&is_loaded) {
        let comes =
            |name: &str| others().filter_map(|o| o.outline).any(|other| other.reactors.contains(name));
        if is_unknown || outline.lacks(|name| is_loaded(name) || comes(name)).is_none() {
            return Turn::Wait;
        }
        return Turn::NoReactor { graph: graph.to_owned(), reactor: reactor.to_owned() };
    }
    let comes_first = |other: &Candidate<'_>| {
        other.was_loaded && other.outline.is_none_or(|other| other.conflicts_with(outline))
    };
    if !candidate.was_loaded && others().any(comes_first) { Turn::Wait } else { Turn::Open }
}

/// Refuses candidates that wait for each other's reactors.
fn end_waiting(candidates: &[Candidate<'_>], turns: &mut [Turn], is_loaded: impl Fn(&str) -> bool) {
    let waits = |turn: &Turn| *turn == Turn::Wait;
    let mut packages: Vec<PackageName> = candidates
        .iter()
        .zip(&*turns)
        .filter(|(_, turn)| waits(turn))
        .map(|(candidate, _)| candidate.name.clone())
        .collect();
    packages.sort();
    for (candidate, turn) in candidates.iter().zip(turns).filter(|(_, turn)| waits(turn)) {
        let lacking = candidate.outline.and_then(|outline| outline.lacks(&is_loaded));
        if let Some((graph, reactor)) = lacking {
            let (packages, graph, reactor) = (packages.clone(), graph.to_owned(), reactor.to_owned());
            *turn = Turn::Cycle { packages, graph, reactor };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(workflow: &str, reactors: &[&str], needs: &[&str]) -> Outline {
        Outline {
            workflows: [(TenantId::default(), workflow.to_owned())].into(),
            reactors: reactors.iter().map(|name| (*name).to_owned()).collect(),
            bound: needs.iter().map(|name| ("graph".to_owned(), (*name).to_owned())).collect(),
            ..Outline::default()
        }
    }

    fn turns_of(candidates: &[(&str, Option<&Outline>, bool, bool)], loaded: &[&str]) -> Vec<Turn> {
        let names: Vec<PackageName> = candidates.iter().map(|(name, ..)| (*name).into()).collect();
        let of = |(candidate, name)| {
            let &(_, outline, was_loaded, is_open): &(&str, Option<&Outline>, bool, bool) = candidate;
            Candidate { name, outline, was_loaded, is_open }
        };
        let candidates: Vec<Candidate<'_>> = candidates.iter().zip(&names).map(of).collect();
        turns(&candidates, |name| loaded.contains(&name))
    }

    #[test]
    fn the_owner_of_a_reactor_is_opened_before_those_that_are_bound_to_it() {
        let (owner, subscriber) = (outline("a", &["r"], &[]), outline("b", &[], &["r"]));
        let (first, then) = (("z", Some(&owner), false, false), ("a", Some(&subscriber), false, false));
        assert_eq!(turns_of(&[then, first], &[]), [Turn::Wait, Turn::Open]);
        assert_eq!(turns_of(&[then, ("z", None, false, false)], &[]), [Turn::Wait, Turn::Wait]);
        assert_eq!(turns_of(&[then, ("z", Some(&owner), false, true)], &[]), [Turn::Wait, Turn::Wait]);
        assert_eq!(turns_of(&[then], &["r"]), [Turn::Open]);
        let nobody = Turn::NoReactor { graph: "graph".into(), reactor: "r".into() };
        assert_eq!(turns_of(&[then], &[]), [nobody]);
    }

    #[test]
    fn packages_that_wait_for_each_other_are_named() {
        let (one, two) = (outline("a", &["r"], &["s"]), outline("b", &["s"], &["r"]));
        let turns = turns_of(&[("one", Some(&one), false, false), ("two", Some(&two), false, false)], &[]);
        let named = |turn: &Turn| matches!(turn, Turn::Cycle { packages, .. } if packages.len() == 2);
        assert!(turns.iter().all(named), "{turns:?}");
    }

    #[test]
    fn of_two_with_one_workflow_the_one_that_was_loaded_last_comes_first() {
        let (one, two, third) = (outline("w", &[], &[]), outline("w", &[], &[]), outline("x", &[], &[]));
        let (new, old) = (("a", Some(&one), false, false), ("b", Some(&two), true, false));
        assert_eq!(turns_of(&[new, old], &[]), [Turn::Wait, Turn::Open]);
        assert_eq!(turns_of(&[new, ("b", None, true, false)], &[]), [Turn::Wait, Turn::Wait]);
        assert_eq!(turns_of(&[("a", Some(&third), false, false), old], &[]), [Turn::Open, Turn::Open]);
        assert_eq!(turns_of(&[new], &[]), [Turn::Open]);
    }
}
