//! The load steps: each enters one kind of entry into a draft of the catalog, and takes it out again.
//!
//! They are numbered as the design numbers them; the numbers between are reactors and graphs. A program that
//! embeds Longshore adds a step by linking one into [`LOAD_STEPS`].

use crate::error::Error;
use crate::generation::Generation;
use linkme::distributed_slice;
use longshore_engine::{Catalog, TriggerDef, TriggerWhen, WorkflowDef};
use std::collections::HashMap;
use std::sync::Arc;

/// A catalog that is being made.
#[derive(Default)]
pub struct Draft {
    workflows: HashMap<(String, String), Arc<WorkflowDef>>,
    triggers: HashMap<String, Arc<TriggerDef>>,
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
        }
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

    pub(crate) fn finish(self, digests: Vec<String>) -> Catalog {
        let mut triggers: Vec<_> = self.triggers.into_values().collect();
        triggers.sort_by(|a, b| a.name.cmp(&b.name));
        Catalog { workflows: self.workflows, digests, triggers }
    }
}
