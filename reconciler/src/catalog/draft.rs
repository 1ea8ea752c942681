//! A draft of the next catalog.

use crate::error::UnboundGraph;
use longshore_engine::{Catalog, GraphDef, ReactorDef, TriggerDef, WorkflowDef, WorkflowKey, subscriptions};
use longshore_package::Digest;
use longshore_store::QueueId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A draft of the next catalog, which the load steps fill.
#[derive(Clone, Default)]
pub struct Draft {
    pub(super) workflows: HashMap<WorkflowKey, Arc<WorkflowDef>>,
    pub(super) triggers: HashMap<String, Arc<TriggerDef>>,
    pub(super) reactors: BTreeMap<String, Arc<ReactorDef>>,
    /// By declared reactor, digest and name.
    pub(super) graphs: BTreeMap<(String, Digest, String), Arc<GraphDef>>,
}

impl Draft {
    /// A draft with the content of a catalog.
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let graph_key = |g: &GraphDef| (g.declared_reactor.clone(), g.digest.clone(), g.name.clone());
        Self {
            workflows: catalog.workflows.clone(),
            triggers: catalog.triggers.iter().map(|t| (t.name.clone(), Arc::clone(t))).collect(),
            reactors: catalog.reactors.iter().map(|r| (r.name.clone(), Arc::clone(r))).collect(),
            graphs: catalog.graphs.iter().map(|g| (graph_key(g), Arc::clone(g))).collect(),
        }
    }

    /// Graphs whose reactor was deregistered.
    pub(crate) fn unbound_graphs(&self) -> Vec<UnboundGraph> {
        let unbound =
            self.graphs.values().filter(|graph| !self.reactors.contains_key(&self.bound(graph).reactor));
        let named = |graph: &Arc<GraphDef>| UnboundGraph {
            graph: graph.name.clone(),
            package: graph.package.clone(),
            reactor: graph.reactor.clone(),
        };
        unbound.map(named).collect()
    }

    /// A graph bound to the reactor that it means among those of the draft.
    pub(super) fn bound(&self, graph: &GraphDef) -> GraphDef {
        graph.bound(|name| self.reactors.contains_key(name))
    }

    /// The catalog, with the digests that are loaded and the queues of all their workflows.
    pub(crate) fn finish(self, digests: HashSet<Digest>, queues: HashSet<QueueId>) -> Catalog {
        let graphs = self.graphs.values().map(|graph| Arc::new(self.bound(graph))).collect();
        let mut triggers: Vec<_> = self.triggers.into_values().collect();
        triggers.sort_by(|a, b| a.name.cmp(&b.name));
        Catalog {
            workflows: self.workflows,
            digests,
            queues,
            subscriptions: subscriptions(&triggers, |name| self.reactors.contains_key(name)),
            triggers,
            reactors: self.reactors.into_values().collect(),
            graphs,
        }
    }
}
