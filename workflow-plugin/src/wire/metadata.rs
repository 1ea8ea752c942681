//! The metadata of a package. Lists are sorted, and an index into a list names the entry in later calls.

use longshore_workflow::private::wire::wire_struct;

wire_struct! {
    /// The package's name and versions.
    PackageMeta {
        /// The crate's name.
        name: String,
        /// The crate's version.
        version: String,
        /// The version of Longshore it was built with.
        sdk: String,
    }
}

wire_struct! {
    /// Reply of `get_task_metadata`.
    TaskMetadata {
        /// The package.
        package: PackageMeta,
        /// Sorted by tenant and name.
        workflows: Vec<WorkflowMeta>,
        /// Sorted by tenant, workflow and id; `execute_task` takes an index into this list.
        tasks: Vec<TaskMeta>,
    }
}

wire_struct! {
    /// A workflow.
    WorkflowMeta {
        /// The name.
        name: String,
        /// The tenant.
        tenant: String,
        /// Its purpose.
        description: String,
        /// Its author.
        author: String,
        /// Triggers it declares.
        triggers: Vec<String>,
        /// Its inputs.
        params: Vec<ParamMeta>,
        /// Names of secrets it reads.
        secrets: Vec<String>,
    }
}

wire_struct! {
    /// An input of a workflow.
    ParamMeta {
        /// The context key it arrives under.
        name: String,
        /// Its Rust type as written.
        type_name: String,
        /// True when it has no default.
        required: bool,
        /// The default as JSON, empty when required.
        default: String,
        /// JSON Schema.
        schema: String,
    }
}

wire_struct! {
    /// A task.
    TaskMeta {
        /// The workflow, empty for a task outside one.
        workflow: String,
        /// The workflow's tenant.
        tenant: String,
        /// The id.
        id: String,
        /// Ids of the tasks it waits for.
        dependencies: Vec<String>,
        /// Its retry policy.
        retry: RetryMeta,
        /// Its rule as JSON, empty for the default.
        rule: String,
        /// Its description, from the doc comment.
        what: String,
        /// Why.
        why: String,
        /// Digest of signature and body.
        fingerprint: String,
        /// True when it takes a handle.
        requires_handle: bool,
        /// The trigger-less graph it calls, or empty.
        invokes: String,
    }
}

wire_struct! {
    /// A retry policy.
    RetryMeta {
        /// Attempts in all.
        attempts: u32,
        /// `fixed`, `linear` or `exponential`.
        backoff: String,
        /// The first delay.
        delay_ms: u64,
        /// The longest delay.
        max_delay_ms: u64,
        /// `never`, `all`, `transient`, or patterns.
        condition: String,
        /// True when delays are spread.
        jitter: bool,
    }
}

wire_struct! {
    /// Reply of `get_graph_metadata` and `get_triggerless_graph_metadata`.
    GraphMetadata {
        /// Sorted by name; a call takes an index into this list.
        graphs: Vec<GraphMeta>,
    }
}

wire_struct! {
    /// A computation graph.
    GraphMeta {
        /// The name.
        name: String,
        /// The reactor it is bound to, or empty.
        reactor: String,
        /// Its nodes.
        nodes: Vec<String>,
        /// Its edges.
        edges: Vec<EdgeMeta>,
        /// Its terminals.
        terminals: Vec<String>,
    }
}

wire_struct! {
    /// An edge of a graph.
    EdgeMeta {
        /// The upstream node.
        from: String,
        /// The downstream node.
        to: String,
        /// The variant that takes this edge, or empty.
        variant: String,
    }
}

wire_struct! {
    /// Reply of `get_reactor_metadata`.
    ReactorMetadata {
        /// Sorted by name.
        reactors: Vec<ReactorMeta>,
        /// Sorted by name and module; `execute_graph` takes an index into this list.
        accumulators: Vec<AccumulatorMeta>,
        /// The inputs of the graphs of `get_graph_metadata`, in the same order.
        inputs: Vec<GraphInputs>,
    }
}

wire_struct! {
    /// The sources that a graph takes.
    GraphInputs {
        /// (node, source), for every source that a node takes.
        inputs: Vec<(String, String)>,
    }
}

wire_struct! {
    /// A reactor.
    ReactorMeta {
        /// The name.
        name: String,
        /// Its sources, in order.
        sources: Vec<SourceMeta>,
        /// `when_any` or `when_all`.
        criteria: String,
        /// The sources the criteria look at.
        criteria_sources: Vec<String>,
        /// `latest` or `sequential`.
        input_strategy: String,
    }
}

wire_struct! {
    /// A source of a reactor.
    SourceMeta {
        /// The name.
        name: String,
        /// Index of its accumulator, [`NO_ACCUMULATOR`] when events pass through as they are.
        accumulator: u32,
    }
}

/// Stands for an accumulator that is not there.
pub const NO_ACCUMULATOR: u32 = u32::MAX;

wire_struct! {
    /// The accumulator of a source: it turns events into the boundary value.
    AccumulatorMeta {
        /// The name.
        name: String,
        /// `passthrough`, `polling`, `batch`, `stream` or `state`.
        kind: String,
        /// Its arguments as JSON.
        config: String,
        /// True when it is called with a state of its own.
        stateful: bool,
    }
}

wire_struct! {
    /// Reply of `get_trigger_metadata`.
    TriggerMetadata {
        /// Sorted by name; `invoke_trigger_poll` takes an index into this list.
        triggers: Vec<TriggerMeta>,
    }
}

wire_struct! {
    /// A trigger: cron when `cron` is not empty, a reactor's when `reactor` is not, poll otherwise.
    TriggerMeta {
        /// The name.
        name: String,
        /// The workflow it starts.
        workflow: String,
        /// True when it fires while an earlier run of its own is still going.
        allow_concurrent: bool,
        /// Five to seven fields, or empty.
        cron: String,
        /// IANA name, or empty.
        timezone: String,
        /// Between polls, 0 when it is not polled.
        poll_interval_ms: u64,
        /// The reactor whose firings start the workflow, or empty.
        reactor: String,
        /// A rule over a firing's outputs as JSON, empty for every firing.
        when: String,
    }
}
