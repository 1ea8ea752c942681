//! The inventory, walked once, sorted, and indexed by position.

use longshore_workflow::private::{
    AccumulatorEntry, GraphEntry, ReactorEntry, TaskEntry, TriggerEntry, WorkflowEntry, inventory,
};
use std::sync::OnceLock;

/// A task with the workflow that encloses it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexedTask {
    pub(crate) entry: &'static TaskEntry,
    pub(crate) workflow: Option<&'static WorkflowEntry>,
}

impl IndexedTask {
    pub(crate) fn workflow_name(&self) -> &'static str {
        self.workflow.map_or("", |w| w.name)
    }

    pub(crate) fn tenant(&self) -> &'static str {
        self.workflow.map_or("public", |w| w.tenant)
    }
}

/// All entries of this binary. A position in one of these lists names the entry in every call.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) workflows: Vec<&'static WorkflowEntry>,
    pub(crate) tasks: Vec<IndexedTask>,
    pub(crate) triggers: Vec<&'static TriggerEntry>,
    pub(crate) reactors: Vec<&'static ReactorEntry>,
    pub(crate) accumulators: Vec<&'static AccumulatorEntry>,
    pub(crate) bound_graphs: Vec<&'static GraphEntry>,
    pub(crate) triggerless_graphs: Vec<&'static GraphEntry>,
}

impl Index {
    /// The index of this binary's inventory, made on first use. Inventory has no order: sorting gives
    /// every process that loads the same bytes the same positions.
    pub(crate) fn of_inventory() -> &'static Self {
        static INDEX: OnceLock<Index> = OnceLock::new();
        INDEX.get_or_init(|| {
            Self::new(
                inventory::iter::<WorkflowEntry>().collect(),
                inventory::iter::<TaskEntry>().collect(),
                inventory::iter::<TriggerEntry>().collect(),
                inventory::iter::<ReactorEntry>().collect(),
                inventory::iter::<AccumulatorEntry>().collect(),
                inventory::iter::<GraphEntry>().collect(),
            )
        })
    }

    fn new(
        mut workflows: Vec<&'static WorkflowEntry>,
        tasks: Vec<&'static TaskEntry>,
        mut triggers: Vec<&'static TriggerEntry>,
        mut reactors: Vec<&'static ReactorEntry>,
        mut accumulators: Vec<&'static AccumulatorEntry>,
        graphs: Vec<&'static GraphEntry>,
    ) -> Self {
        workflows.sort_by_key(|w| (w.tenant, w.name));
        let mut tasks: Vec<_> = tasks
            .into_iter()
            .map(|entry| IndexedTask { entry, workflow: enclosing(&workflows, entry.module) })
            .collect();
        tasks.sort_by_key(|t| (t.tenant(), t.workflow_name(), t.entry.id));
        triggers.sort_by_key(|t| t.name);
        reactors.sort_by_key(|r| r.name);
        accumulators.sort_by_key(|a| (a.name, a.module));
        let (mut bound_graphs, mut triggerless_graphs): (Vec<_>, Vec<_>) =
            graphs.into_iter().partition(|g| !g.reactor.is_empty());
        bound_graphs.sort_by_key(|g| g.name);
        triggerless_graphs.sort_by_key(|g| g.name);
        Self { workflows, tasks, triggers, reactors, accumulators, bound_graphs, triggerless_graphs }
    }
}

impl Index {
    /// The accumulator that feeds a source of a reactor: the one of its name beside the reactor, or any of its
    /// name.
    pub(crate) fn accumulator_of(&self, reactor: &ReactorEntry, source: &str) -> Option<usize> {
        let named = || self.accumulators.iter().enumerate().filter(|(_, a)| a.name == source);
        let beside = named().find(|(_, a)| a.module == reactor.module);
        beside.or_else(|| named().next()).map(|(at, _)| at)
    }
}

/// The innermost workflow whose module holds `module`.
fn enclosing(workflows: &[&'static WorkflowEntry], module: &str) -> Option<&'static WorkflowEntry> {
    let holds = |w: &WorkflowEntry| {
        module.strip_prefix(w.module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    workflows.iter().copied().filter(|w| holds(w)).max_by_key(|w| w.module.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow(module: &'static str, name: &'static str) -> &'static WorkflowEntry {
        Box::leak(Box::new(WorkflowEntry {
            module,
            name,
            tenant: "public",
            description: "",
            author: "",
            triggers: &[],
            params: &[],
            secrets: &[],
        }))
    }

    #[test]
    fn a_task_belongs_to_the_innermost_workflow_around_it() {
        let workflows = [workflow("a::flow", "outer"), workflow("a::flow::inner", "inner")];
        let name = |module| enclosing(&workflows, module).map(|w| w.name);
        assert_eq!(name("a::flow"), Some("outer"));
        assert_eq!(name("a::flow::steps"), Some("outer"));
        assert_eq!(name("a::flow::inner::deep"), Some("inner"));
        assert_eq!(name("a::flowers"), None);
    }
}
