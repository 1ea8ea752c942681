//! Reactors and graphs as the engine sees them.

use crate::model::tenancy::{PackageTenants, qualified, resolved};
use longshore_store::{Digest, PackageName, TenantId};
use longshore_workflow::Rule;
use longshore_workflow_plugin::wire::{
    AccumulatorMeta, GraphMetadata, NO_ACCUMULATOR, ReactorMeta, ReactorMetadata, SourceMeta,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// A reactor of a loaded package.
#[derive(Debug, Clone, PartialEq)]
pub struct ReactorDef {
    /// The digest it is part of.
    pub digest: Digest,
    /// The package.
    pub package: PackageName,
    /// The name on this host, behind `tenant/` for another tenant than `public`.
    pub name: String,
    /// Its sources, in order.
    pub sources: Vec<SourceDef>,
    /// When it fires.
    pub criteria: Criteria,
    /// The strategy by which it takes its inputs.
    pub strategy: InputStrategy,
}

/// A source of a reactor.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceDef {
    /// The name.
    pub name: String,
    /// The accumulator of its events; none when they are boundary values already.
    pub accumulator: Option<AccumulatorDef>,
}

/// The accumulator of a source: it turns events into the boundary value.
#[derive(Debug, Clone, PartialEq)]
pub struct AccumulatorDef {
    /// Its index in the package's accumulator list.
    pub index: u32,
    /// Its kind.
    pub kind: AccumulatorKind,
    /// True when it is called with a state of its own.
    pub stateful: bool,
}

/// The kinds of accumulators.
#[derive(Debug, Clone, PartialEq)]
pub enum AccumulatorKind {
    /// One event in, one value out.
    Passthrough,
    /// It is asked again and again.
    Polling {
        /// Between two times.
        interval: Duration,
    },
    /// Many events in, at most one value out.
    Batch {
        /// The longest an event waits.
        flush_interval: Duration,
        /// The most events that wait.
        max_buffer_size: usize,
    },
    /// One event of a stream in, one value out.
    Stream(StreamDef),
    /// The last values.
    State {
        /// The limit, none for all.
        capacity: Option<usize>,
    },
}

/// A stream to read events from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamDef {
    /// Which kind of stream, as in [`crate::EVENT_STREAMS`].
    pub kind: String,
    /// The part of it to read.
    pub topic: String,
    /// The reader.
    pub group: String,
}

impl std::fmt::Display for StreamDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.topic)
    }
}

/// When a reactor fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Criteria {
    /// When one of these sources has news.
    Any(Vec<usize>),
    /// When all of these sources have news.
    All(Vec<usize>),
}

/// The strategy by which a reactor takes its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputStrategy {
    /// In memory; a newer event takes the place of one that was not looked at yet.
    Latest,
    /// In order, recorded before they count, none lost.
    Sequential,
}

impl InputStrategy {
    /// The word in the macro, in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Sequential => "sequential",
        }
    }
}

/// A graph of a loaded package that a reactor fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphDef {
    /// The digest it is part of.
    pub digest: Digest,
    /// The package.
    pub package: PackageName,
    /// Its index in the package's graph list.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The reactor as its author names it.
    pub declared_reactor: String,
    /// The reactor that fires it, by its name on the host; in a catalog that of the reactor which is meant now.
    pub reactor: String,
    /// The sources its nodes take.
    pub sources: Vec<String>,
}

/// A trigger that starts a workflow for firings of a reactor.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The trigger's name.
    pub trigger: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// The reactor, by its name on the host.
    pub reactor: String,
    /// The workflow that the trigger names.
    pub workflow: String,
    /// Over the firing's outputs; none for every firing.
    pub when: Option<Rule>,
}

/// The reactors of a package's metadata, by name.
pub fn reactors(
    metadata: &ReactorMetadata,
    digest: &Digest,
    package: &PackageName,
    tenants: &PackageTenants,
) -> Vec<Arc<ReactorDef>> {
    let def = |meta: &ReactorMeta| {
        let source = |source: &SourceMeta| SourceDef {
            name: source.name.clone(),
            accumulator: (source.accumulator != NO_ACCUMULATOR)
                .then(|| metadata.accumulators.get(source.accumulator as usize))
                .flatten()
                .map(|meta| accumulator(source.accumulator, meta)),
        };
        let place = |name: &String| meta.sources.iter().position(|source| source.name == *name);
        let criteria_sources: Vec<usize> = meta.criteria_sources.iter().filter_map(place).collect();
        Arc::new(ReactorDef {
            digest: digest.clone(),
            package: package.clone(),
            name: qualified(tenants.shared(), &meta.name).into_owned(),
            sources: meta.sources.iter().map(source).collect(),
            criteria: match meta.criteria.as_str() {
                "when_all" => Criteria::All(criteria_sources),
                _ => Criteria::Any(criteria_sources),
            },
            strategy: match meta.input_strategy.as_str() {
                "sequential" => InputStrategy::Sequential,
                _ => InputStrategy::Latest,
            },
        })
    };
    let mut reactors: Vec<Arc<ReactorDef>> = metadata.reactors.iter().map(def).collect();
    reactors.sort_by(|a, b| a.name.cmp(&b.name));
    reactors
}

fn accumulator(index: u32, meta: &AccumulatorMeta) -> AccumulatorDef {
    let config: Value = serde_json::from_str(&meta.config).unwrap_or_default();
    let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
    let ms = |key: &str, default: u64| Duration::from_millis(config[key].as_u64().unwrap_or(default).max(1));
    let kind = match meta.kind.as_str() {
        "polling" => AccumulatorKind::Polling { interval: ms("interval_ms", 5000) },
        "batch" => AccumulatorKind::Batch {
            flush_interval: ms("flush_interval_ms", 10_000),
            max_buffer_size: config["max_buffer_size"].as_u64().unwrap_or(1000).max(1) as usize,
        },
        "stream" => AccumulatorKind::Stream(StreamDef {
            kind: text("type"),
            topic: text("topic"),
            group: text("group"),
        }),
        "state" => AccumulatorKind::State {
            capacity: config["capacity"].as_i64().and_then(|capacity| usize::try_from(capacity).ok()),
        },
        _ => AccumulatorKind::Passthrough,
    };
    AccumulatorDef { index, kind, stateful: meta.stateful }
}

/// The reactor-bound graphs of a package's metadata.
pub fn graphs(
    metadata: &GraphMetadata,
    reactors: &ReactorMetadata,
    digest: &Digest,
    package: &PackageName,
    tenants: &PackageTenants,
) -> Vec<Arc<GraphDef>> {
    let def = |(index, meta): (usize, &longshore_workflow_plugin::wire::GraphMeta)| {
        let inputs = reactors.inputs.get(index).map(|inputs| inputs.inputs.as_slice()).unwrap_or_default();
        let mut sources: Vec<String> = inputs.iter().map(|(_, source)| source.clone()).collect();
        sources.sort();
        sources.dedup();
        Arc::new(GraphDef {
            digest: digest.clone(),
            package: package.clone(),
            index: index as u32,
            name: meta.name.clone(),
            tenant: tenants.shared().clone(),
            declared_reactor: meta.reactor.clone(),
            reactor: meta.reactor.clone(),
            sources,
        })
    };
    metadata.graphs.iter().enumerate().map(def).collect()
}

impl GraphDef {
    /// Bound to the reactor that it means, by the name that this one has on the host.
    #[must_use]
    pub fn bound(&self, is_reactor: impl Fn(&str) -> bool) -> Self {
        let reactor = resolved(&self.tenant, &self.declared_reactor, is_reactor).into_owned();
        Self { reactor, ..self.clone() }
    }
}

impl ReactorDef {
    /// The place of a source.
    pub fn source(&self, name: &str) -> Option<usize> {
        self.sources.iter().position(|source| source.name == name)
    }

    /// The first source that a graph takes and this reactor lacks.
    pub fn lacks(&self, graph: &GraphDef) -> Option<String> {
        graph.sources.iter().find(|source| self.source(source).is_none()).cloned()
    }
}

/// The place in `new` of a source of `old`; none when it is not there any more.
pub(crate) fn place_in(new: &ReactorDef, old: &ReactorDef, source: usize) -> Option<usize> {
    if std::ptr::eq(new, old) {
        return Some(source);
    }
    old.sources.get(source).and_then(|source| new.source(&source.name))
}
