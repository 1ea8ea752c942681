//! Entries to wire.

use crate::index::{Index, IndexedTask};
use crate::wire::{
    AccumulatorMeta, EdgeMeta, GraphInputs, GraphMeta, GraphMetadata, NO_ACCUMULATOR, PackageMeta, ParamMeta,
    ReactorMeta, ReactorMetadata, RetryMeta, SourceMeta, TaskMeta, TaskMetadata, TriggerMeta,
    TriggerMetadata, WorkflowMeta,
};
use longshore_workflow::private::{
    AccumulatorCall, AccumulatorEntry, GraphEntry, ParamEntry, ReactorEntry, TriggerEntry, TriggerKind,
    WorkflowEntry,
};

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

pub(crate) fn tasks(index: &Index, package: &PackageMeta) -> TaskMetadata {
    TaskMetadata {
        package: package.clone(),
        workflows: index.workflows.iter().map(|w| workflow(w)).collect(),
        tasks: index.tasks.iter().map(task).collect(),
    }
}

fn workflow(entry: &WorkflowEntry) -> WorkflowMeta {
    WorkflowMeta {
        name: entry.name.to_owned(),
        tenant: entry.tenant.to_owned(),
        description: entry.description.to_owned(),
        author: entry.author.to_owned(),
        triggers: owned(entry.triggers),
        params: entry.params.iter().map(param).collect(),
        secrets: owned(entry.secrets),
    }
}

fn param(entry: &ParamEntry) -> ParamMeta {
    ParamMeta {
        name: entry.name.to_owned(),
        type_name: entry.type_name.to_owned(),
        required: entry.default.is_none(),
        default: entry.default.map(|default| default().to_string()).unwrap_or_default(),
        schema: (entry.schema)().to_string(),
    }
}

fn task(task: &IndexedTask) -> TaskMeta {
    let entry = task.entry;
    TaskMeta {
        workflow: task.workflow_name().to_owned(),
        tenant: task.tenant().to_owned(),
        id: entry.id.to_owned(),
        dependencies: owned(entry.dependencies),
        retry: RetryMeta {
            attempts: entry.retry.attempts,
            backoff: entry.retry.backoff.to_owned(),
            delay_ms: entry.retry.delay_ms,
            max_delay_ms: entry.retry.max_delay_ms,
            condition: entry.retry.condition.to_owned(),
            jitter: entry.retry.jitter,
        },
        rule: entry.rule.to_owned(),
        what: entry.what.to_owned(),
        why: entry.why.to_owned(),
        fingerprint: entry.fingerprint.to_owned(),
        requires_handle: entry.requires_handle,
        invokes: entry.invokes.to_owned(),
    }
}

pub(crate) fn graphs(graphs: &[&GraphEntry]) -> GraphMetadata {
    GraphMetadata { graphs: graphs.iter().map(|g| graph(g)).collect() }
}

fn graph(entry: &GraphEntry) -> GraphMeta {
    let edge = |&(from, to, variant): &(&str, &str, &str)| EdgeMeta {
        from: from.to_owned(),
        to: to.to_owned(),
        variant: variant.to_owned(),
    };
    GraphMeta {
        name: entry.name.to_owned(),
        reactor: entry.reactor.to_owned(),
        nodes: owned(entry.nodes),
        edges: entry.edges.iter().map(edge).collect(),
        terminals: owned(entry.terminals),
    }
}

pub(crate) fn reactors(index: &Index) -> ReactorMetadata {
    ReactorMetadata {
        reactors: index.reactors.iter().map(|r| reactor(index, r)).collect(),
        accumulators: index.accumulators.iter().map(|a| accumulator(a)).collect(),
        inputs: index.bound_graphs.iter().map(|graph| graph_inputs(graph)).collect(),
    }
}

fn graph_inputs(entry: &GraphEntry) -> GraphInputs {
    let owned = |(node, source): &(&str, &str)| ((*node).to_owned(), (*source).to_owned());
    GraphInputs { inputs: entry.inputs.iter().map(owned).collect() }
}

fn reactor(index: &Index, entry: &ReactorEntry) -> ReactorMeta {
    let source = |name: &&str| SourceMeta {
        name: (*name).to_owned(),
        accumulator: index.accumulator_of(entry, name).map_or(NO_ACCUMULATOR, |at| at as u32),
    };
    ReactorMeta {
        name: entry.name.to_owned(),
        sources: entry.accumulators.iter().map(source).collect(),
        criteria: entry.criteria.to_owned(),
        criteria_sources: owned(entry.criteria_sources),
        input_strategy: entry.input_strategy.to_owned(),
    }
}

fn accumulator(entry: &AccumulatorEntry) -> AccumulatorMeta {
    AccumulatorMeta {
        name: entry.name.to_owned(),
        kind: entry.kind.to_owned(),
        config: entry.config.to_owned(),
        stateful: matches!(entry.call, AccumulatorCall::Stateful(_)),
    }
}

pub(crate) fn triggers(index: &Index) -> TriggerMetadata {
    TriggerMetadata { triggers: index.triggers.iter().map(|t| trigger(t)).collect() }
}

fn trigger(entry: &TriggerEntry) -> TriggerMeta {
    let mut meta = TriggerMeta {
        name: entry.name.to_owned(),
        workflow: entry.workflow.to_owned(),
        allow_concurrent: entry.allow_concurrent,
        ..TriggerMeta::default()
    };
    match entry.kind {
        TriggerKind::Cron { expression, timezone } => {
            (meta.cron, meta.timezone) = (expression.to_owned(), timezone.to_owned());
        }
        TriggerKind::Poll { interval_ms, .. } => meta.poll_interval_ms = interval_ms,
        TriggerKind::Reactor { reactor, when } => {
            (meta.reactor, meta.when) = (reactor.to_owned(), when.to_owned());
        }
    }
    meta
}
