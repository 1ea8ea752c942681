//! The load steps: each registers one kind of entry in a draft of the catalog, and deregisters it again.
//!
//! Their numbers are their order: reactors come before the graphs that are bound to them. A program that embeds Longshore
//! adds a check by linking a step into [`LOAD_STEPS`].

use crate::catalog::draft::Draft;
use crate::error::{Error, StepError};
use crate::runtime::generation::Generation;
use linkme::distributed_slice;
use longshore_engine::{GraphDef, ReactorDef, TriggerDef, TriggerWhen};
use std::sync::Arc;

/// One kind of entry.
pub struct LoadStep {
    /// Its place, 1 first; deregistering goes the other way.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// Registers the entries of a generation.
    pub apply: fn(&Generation, &mut Draft) -> Result<(), StepError>,
    /// Deregisters what `apply` registered, all of it or a part.
    pub undo: fn(&Generation, &mut Draft),
}

/// All steps, in no order.
#[distributed_slice]
pub static LOAD_STEPS: [LoadStep];

#[distributed_slice(LOAD_STEPS)]
static CRON_TRIGGERS: LoadStep = LoadStep {
    number: 1,
    name: "cron triggers",
    apply: |generation, draft| register_triggers(generation, draft, true),
    undo: |generation, draft| deregister_triggers(generation, draft, true),
};

#[distributed_slice(LOAD_STEPS)]
static POLL_TRIGGERS: LoadStep = LoadStep {
    number: 2,
    name: "poll and reactor triggers",
    apply: |generation, draft| register_triggers(generation, draft, false),
    undo: |generation, draft| deregister_triggers(generation, draft, false),
};

#[distributed_slice(LOAD_STEPS)]
static REACTORS: LoadStep = LoadStep {
    number: 3,
    name: "reactors",
    apply: register_reactors,
    undo: |generation, draft| draft.reactors.retain(|_, reactor| reactor.digest != *generation.digest()),
};

#[distributed_slice(LOAD_STEPS)]
static TRIGGERLESS_GRAPHS: LoadStep = LoadStep {
    number: 4,
    name: "trigger-less graphs",
    // Tasks call them inside their package: there is nothing to register.
    apply: |generation, _| check_triggerless(generation),
    undo: |_, _| {},
};

#[distributed_slice(LOAD_STEPS)]
static BOUND_GRAPHS: LoadStep = LoadStep {
    number: 5,
    name: "reactor-bound graphs",
    apply: register_graphs,
    undo: |generation, draft| draft.graphs.retain(|_, graph| graph.digest != *generation.digest()),
};

#[distributed_slice(LOAD_STEPS)]
static WORKFLOWS: LoadStep = LoadStep {
    number: 6,
    name: "workflows",
    apply: register_workflows,
    undo: |generation, draft| draft.workflows.retain(|_, def| def.digest != *generation.digest()),
};

/// The number of the last step.
pub(crate) fn last_number() -> u8 {
    LOAD_STEPS.iter().map(|step| step.number).max().unwrap_or_default()
}

fn sorted() -> Vec<&'static LoadStep> {
    let mut steps: Vec<_> = LOAD_STEPS.iter().collect();
    steps.sort_by_key(|step| step.number);
    steps
}

impl Draft {
    /// Takes a generation through all steps. When one refuses it, that one and those before it are undone in reverse.
    ///
    /// # Errors
    /// [`Error::Step`].
    pub(crate) fn register(&mut self, generation: &Generation) -> Result<(), Error> {
        let steps = sorted();
        for (done, step) in steps.iter().enumerate() {
            if let Err(error) = (step.apply)(generation, self) {
                for undo in steps[..=done].iter().rev() {
                    (undo.undo)(generation, self);
                }
                return Err(Error::Step { step: step.number, name: step.name, error: Box::new(error) });
            }
        }
        Ok(())
    }

    /// Takes a generation out, the last step first.
    pub(crate) fn deregister(&mut self, generation: &Generation) {
        for step in sorted().iter().rev() {
            (step.undo)(generation, self);
        }
    }
}

fn is_cron(trigger: &TriggerDef) -> bool {
    matches!(trigger.when, TriggerWhen::Cron { .. })
}

fn register_triggers(generation: &Generation, draft: &mut Draft, cron: bool) -> Result<(), StepError> {
    for trigger in generation.triggers().iter().filter(|t| is_cron(t) == cron) {
        if draft.triggers.get(&trigger.name).is_some_and(|other| other.digest != trigger.digest) {
            return Err(StepError::TriggerTaken { trigger: trigger.name.clone() });
        }
        draft.triggers.insert(trigger.name.clone(), Arc::clone(trigger));
    }
    Ok(())
}

fn deregister_triggers(generation: &Generation, draft: &mut Draft, cron: bool) {
    draft.triggers.retain(|_, trigger| trigger.digest != *generation.digest() || is_cron(trigger) != cron);
}

fn register_reactors(generation: &Generation, draft: &mut Draft) -> Result<(), StepError> {
    for reactor in generation.reactors() {
        let other = draft.reactors.get(&reactor.name).filter(|other| other.digest != reactor.digest);
        if let Some(other) = other {
            let (package, reactor) = (other.package.clone(), reactor.name.clone());
            return Err(StepError::ReactorTaken { package, reactor });
        }
        draft.reactors.insert(reactor.name.clone(), Arc::clone(reactor));
        // Those that mean it from now on, also when they meant that of `public` before.
        for graph in draft.graphs.values().filter(|graph| draft.bound(graph).reactor == reactor.name) {
            check_sources(reactor, graph)?;
        }
    }
    Ok(())
}

fn check_sources(reactor: &ReactorDef, graph: &GraphDef) -> Result<(), StepError> {
    let Some(source_name) = reactor.lacks(graph) else { return Ok(()) };
    Err(StepError::NoSource {
        graph: graph.name.clone(),
        package: graph.package.clone(),
        source_name,
        reactor: reactor.name.clone(),
        known: reactor.sources.iter().map(|source| source.name.clone()).collect(),
    })
}

fn check_triggerless(generation: &Generation) -> Result<(), StepError> {
    // The list is sorted by name.
    match generation.triggerless_graphs().windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(StepError::DuplicateGraph { graph: pair[0].clone() }),
        None => Ok(()),
    }
}

fn register_graphs(generation: &Generation, draft: &mut Draft) -> Result<(), StepError> {
    for graph in generation.graphs() {
        let graph = draft.bound(graph);
        let Some(reactor) = draft.reactors.get(&graph.reactor) else {
            return Err(StepError::NoReactor { graph: graph.name, reactor: graph.reactor });
        };
        check_sources(reactor, &graph)?;
        let key = (graph.declared_reactor.clone(), graph.digest.clone(), graph.name.clone());
        draft.graphs.insert(key, Arc::new(graph));
    }
    Ok(())
}

fn register_workflows(generation: &Generation, draft: &mut Draft) -> Result<(), StepError> {
    for def in generation.workflows() {
        let other = draft.workflows.get(&def.key()).filter(|other| other.digest != def.digest);
        if let Some(other) = other {
            let (workflow, tenant) = (def.name.clone(), def.tenant.to_string());
            return Err(StepError::WorkflowTaken { package: other.package.clone(), workflow, tenant });
        }
        draft.workflows.insert(def.key(), Arc::clone(def));
    }
    Ok(())
}
