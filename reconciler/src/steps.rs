//! The load steps: each enters one kind of entry into a draft of the catalog, and takes it out again.
//!
//! They are numbered as the design numbers them. A program that embeds Longshore adds a step by linking one into
//! [`LOAD_STEPS`].

use crate::error::Error;
use crate::generation::Generation;
use linkme::distributed_slice;
use longshore_engine::embedded::subscriptions;
use longshore_engine::{Catalog, GraphDef, ReactorDef, TriggerDef, TriggerWhen, WorkflowDef};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A catalog that is being made.
#[derive(Default)]
pub struct Draft {
    workflows: HashMap<(String, String), Arc<WorkflowDef>>,
    triggers: HashMap<String, Arc<TriggerDef>>,
    reactors: BTreeMap<String, Arc<ReactorDef>>,
    /// By reactor, digest and name.
    graphs: BTreeMap<(String, String, String), Arc<GraphDef>>,
}

/// A graph without the reactor that is to fire it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The graph.
    pub graph: String,
    /// Its package.
    pub package: String,
    /// The reactor.
    pub reactor: String,
}

/// Why a step did not go through.
pub struct StepFailed {
    /// The stable code.
    pub code: &'static str,
    /// What is in the way.
    pub message: String,
}

/// One kind of entry.
pub struct LoadStep {
    /// Its place, 1 first; unloading goes the other way.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// Enters what a generation has.
    pub apply: fn(&Generation, &mut Draft) -> Result<(), StepFailed>,
    /// Takes out what `apply` entered, all of it or a part.
    pub undo: fn(&Generation, &mut Draft),
}

/// All steps, in no order.
#[distributed_slice]
pub static LOAD_STEPS: [LoadStep];

#[distributed_slice(LOAD_STEPS)]
static CRON_TRIGGERS: LoadStep = LoadStep {
    number: 1,
    name: "cron triggers",
    apply: |generation, draft| enter_triggers(generation, draft, true),
    undo: |generation, draft| remove_triggers(generation, draft, true),
};

#[distributed_slice(LOAD_STEPS)]
static POLL_TRIGGERS: LoadStep = LoadStep {
    number: 2,
    name: "poll triggers",
    apply: |generation, draft| enter_triggers(generation, draft, false),
    undo: |generation, draft| remove_triggers(generation, draft, false),
};

#[distributed_slice(LOAD_STEPS)]
static REACTORS: LoadStep =
    LoadStep { number: 3, name: "reactors", apply: enter_reactors, undo: remove_reactors };

#[distributed_slice(LOAD_STEPS)]
static TRIGGERLESS_GRAPHS: LoadStep = LoadStep {
    number: 4,
    name: "trigger-less graphs",
    // Tasks call them inside their package: there is nothing to enter, only something to be sure of.
    apply: |generation, _| check_triggerless(generation),
    undo: |_, _| {},
};

#[distributed_slice(LOAD_STEPS)]
static BOUND_GRAPHS: LoadStep =
    LoadStep { number: 5, name: "reactor-bound graphs", apply: enter_graphs, undo: remove_graphs };

#[distributed_slice(LOAD_STEPS)]
static WORKFLOWS: LoadStep =
    LoadStep { number: 6, name: "workflows", apply: enter_workflows, undo: remove_workflows };

fn sorted() -> Vec<&'static LoadStep> {
    let mut steps: Vec<_> = LOAD_STEPS.iter().collect();
    steps.sort_by_key(|step| step.number);
    steps
}

fn is_cron(trigger: &TriggerDef) -> bool {
    matches!(trigger.when, TriggerWhen::Cron { .. })
}

fn enter_triggers(generation: &Generation, draft: &mut Draft, cron: bool) -> Result<(), StepFailed> {
    for trigger in generation.triggers().iter().filter(|t| is_cron(t) == cron) {
        if draft.triggers.get(&trigger.name).is_some_and(|other| other.digest != trigger.digest) {
            let message = format!("another package has a trigger `{}`", trigger.name);
            return Err(StepFailed { code: "LS0402", message });
        }
        draft.triggers.insert(trigger.name.clone(), Arc::clone(trigger));
    }
    Ok(())
}

fn remove_triggers(generation: &Generation, draft: &mut Draft, cron: bool) {
    draft.triggers.retain(|_, trigger| trigger.digest != generation.digest() || is_cron(trigger) != cron);
}

/// The code of a graph whose reactor no package has: it may come with a package that is loaded later.
pub(crate) const NO_REACTOR: &str = "LS0405";

fn enter_reactors(generation: &Generation, draft: &mut Draft) -> Result<(), StepFailed> {
    for reactor in generation.reactors() {
        if let Some(other) = draft.reactors.get(&reactor.name).filter(|other| other.digest != reactor.digest)
        {
            let message = format!("package `{}` has a reactor `{}` already", other.package, reactor.name);
            return Err(StepFailed { code: "LS0404", message });
        }
        for graph in draft.graphs.values().filter(|graph| graph.reactor == reactor.name) {
            check_sources(reactor, graph)?;
        }
        draft.reactors.insert(reactor.name.clone(), Arc::clone(reactor));
    }
    Ok(())
}

fn check_sources(reactor: &ReactorDef, graph: &GraphDef) -> Result<(), StepFailed> {
    let Some(source) = reactor.lacks(graph) else { return Ok(()) };
    let known: Vec<&str> = reactor.sources.iter().map(|source| source.name.as_str()).collect();
    let message = format!(
        "graph `{}` of package `{}` takes the source `{source}`, which reactor `{}` does not have; it has {}",
        graph.name,
        graph.package,
        reactor.name,
        known.join(", ")
    );
    Err(StepFailed { code: "LS0406", message })
}

fn remove_reactors(generation: &Generation, draft: &mut Draft) {
    draft.reactors.retain(|_, reactor| reactor.digest != generation.digest());
}

fn check_triggerless(generation: &Generation) -> Result<(), StepFailed> {
    // The list is sorted by name.
    match generation.triggerless_graphs().windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            let message = format!("the package has two graphs `{}` that tasks call", pair[0]);
            Err(StepFailed { code: "LS0409", message })
        }
        None => Ok(()),
    }
}

fn enter_graphs(generation: &Generation, draft: &mut Draft) -> Result<(), StepFailed> {
    for graph in generation.graphs() {
        let Some(reactor) = draft.reactors.get(&graph.reactor) else {
            let message = format!(
                "graph `{}` is bound to reactor `{}`, which no loaded package has",
                graph.name, graph.reactor
            );
            return Err(StepFailed { code: NO_REACTOR, message });
        };
        check_sources(reactor, graph)?;
        let key = (graph.reactor.clone(), graph.digest.clone(), graph.name.clone());
        draft.graphs.insert(key, Arc::clone(graph));
    }
    Ok(())
}

fn remove_graphs(generation: &Generation, draft: &mut Draft) {
    draft.graphs.retain(|_, graph| graph.digest != generation.digest());
}

fn enter_workflows(generation: &Generation, draft: &mut Draft) -> Result<(), StepFailed> {
    for def in generation.workflows() {
        if let Some(other) = draft.workflows.get(&def.key())
            && other.digest != def.digest
        {
            let message = format!(
                "package `{}` has a workflow `{}` already (tenant `{}`)",
                other.package, def.name, def.tenant
            );
            return Err(StepFailed { code: "LS0401", message });
        }
        draft.workflows.insert(def.key(), Arc::clone(def));
    }
    Ok(())
}

fn remove_workflows(generation: &Generation, draft: &mut Draft) {
    draft.workflows.retain(|_, def| def.digest != generation.digest());
}

impl Draft {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        Self {
            workflows: catalog.workflows.clone(),
            triggers: catalog.triggers.iter().map(|t| (t.name.clone(), Arc::clone(t))).collect(),
            reactors: catalog.reactors.iter().map(|r| (r.name.clone(), Arc::clone(r))).collect(),
            graphs: catalog
                .graphs
                .iter()
                .map(|g| ((g.reactor.clone(), g.digest.clone(), g.name.clone()), Arc::clone(g)))
                .collect(),
        }
    }

    /// Graphs whose reactor is not there: they were bound to it before it was taken out.
    pub(crate) fn orphans(&self) -> Vec<Orphan> {
        let bound = self.graphs.values().filter(|graph| !self.reactors.contains_key(&graph.reactor));
        let orphan = |graph: &Arc<GraphDef>| Orphan {
            graph: graph.name.clone(),
            package: graph.package.clone(),
            reactor: graph.reactor.clone(),
        };
        bound.map(orphan).collect()
    }

    /// Takes a generation through all steps. When one fails, those before it are undone in reverse.
    pub(crate) fn enter(&mut self, generation: &Generation) -> Result<(), Error> {
        let steps = sorted();
        for (done, step) in steps.iter().enumerate() {
            if let Err(failed) = (step.apply)(generation, self) {
                for undo in steps[..=done].iter().rev() {
                    (undo.undo)(generation, self);
                }
                let StepFailed { code, message } = failed;
                return Err(Error::Step { step: step.number, name: step.name, message, code });
            }
        }
        Ok(())
    }

    /// Takes a generation out, the last step first.
    pub(crate) fn leave(&mut self, generation: &Generation) {
        for step in sorted().iter().rev() {
            (step.undo)(generation, self);
        }
    }

    pub(crate) fn finish(self, digests: HashSet<String>) -> Catalog {
        let mut triggers: Vec<_> = self.triggers.into_values().collect();
        triggers.sort_by(|a, b| a.name.cmp(&b.name));
        Catalog {
            workflows: self.workflows,
            digests,
            subscriptions: subscriptions(&triggers),
            triggers,
            reactors: self.reactors.into_values().collect(),
            graphs: self.graphs.into_values().collect(),
        }
    }
}
