//! The catalog: what can be run right now.

use crate::model::definition::{WorkflowDef, WorkflowKey};
use crate::model::reactor_def::{GraphDef, ReactorDef, Subscription};
use longshore_store::{Digest, QueueId, TenantId};
use longshore_workflow_plugin::wire::{TriggerMeta, TriggerMetadata};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The workflows, triggers, reactors and graphs that run right now: an immutable snapshot, replaced as a whole.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The current definition of each workflow, by tenant and name: what new runs start on.
    pub workflows: HashMap<WorkflowKey, Arc<WorkflowDef>>,
    /// Every loaded digest, those included that only finish what they have: what may be claimed.
    pub digests: HashSet<Digest>,
    /// The queues of their workflows.
    pub queues: HashSet<QueueId>,
    /// The triggers of the current generations.
    pub triggers: Vec<Arc<TriggerDef>>,
    /// The reactors of the current generations, by name.
    pub reactors: Vec<Arc<ReactorDef>>,
    /// The graphs that reactors fire, by name.
    pub graphs: Vec<Arc<GraphDef>>,
    /// Which firings start which workflows.
    pub subscriptions: Vec<Subscription>,
}

impl Catalog {
    /// The workflows that a trigger starts: the one that it names first, then those that subscribe to it by its name. Of
    /// several workflows with the name that it gives, that of its own package is meant, and of tenant `public` before
    /// others.
    pub fn targets(&self, trigger: &str, digest: &Digest, workflow: &str) -> Vec<WorkflowKey> {
        let named = self.workflows.values().filter(|def| def.name == workflow);
        let rank = |def: &&Arc<WorkflowDef>| {
            (def.digest != *digest, def.tenant != TenantId::default(), def.tenant.clone())
        };
        let first = named.min_by_key(rank).map(|def| def.key());
        // Nobody has it: the start says so.
        let first = first.unwrap_or_else(|| (TenantId::default(), workflow.to_owned()));
        let subscribed =
            self.workflows.values().filter(|def| def.triggers.iter().any(|name| name == trigger));
        let mut others: Vec<WorkflowKey> =
            subscribed.map(|def| def.key()).filter(|key| *key != first).collect();
        others.sort_unstable();
        std::iter::once(first).chain(others).collect()
    }
}

/// A trigger of a loaded package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerDef {
    /// The digest it is part of.
    pub digest: Digest,
    /// Its index in the package's trigger list.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The workflow it starts.
    pub workflow: String,
    /// True when it fires while an earlier run of its own is still going.
    pub allow_concurrent: bool,
    /// When it fires.
    pub when: TriggerWhen,
}

/// When a trigger fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerWhen {
    /// By the calendar.
    Cron {
        /// Five to seven fields.
        expression: String,
        /// IANA name.
        timezone: String,
    },
    /// When a poll says so.
    Poll {
        /// Between polls.
        interval_ms: u64,
    },
    /// When a reactor fires.
    Reactor {
        /// The reactor.
        reactor: String,
        /// A rule over the firing's outputs as JSON, empty for every firing.
        when: String,
    },
}

/// The triggers of a package's metadata.
pub fn triggers(metadata: &TriggerMetadata, digest: &Digest) -> Vec<Arc<TriggerDef>> {
    let trigger = |(index, meta): (usize, &TriggerMeta)| {
        let when = if !meta.cron.is_empty() {
            TriggerWhen::Cron { expression: meta.cron.clone(), timezone: meta.timezone.clone() }
        } else if !meta.reactor.is_empty() {
            TriggerWhen::Reactor { reactor: meta.reactor.clone(), when: meta.when.clone() }
        } else {
            TriggerWhen::Poll { interval_ms: meta.poll_interval_ms.max(1) }
        };
        Arc::new(TriggerDef {
            digest: digest.clone(),
            index: index as u32,
            name: meta.name.clone(),
            workflow: meta.workflow.clone(),
            allow_concurrent: meta.allow_concurrent,
            when,
        })
    };
    metadata.triggers.iter().enumerate().map(trigger).collect()
}

/// The subscriptions among triggers. One whose predicate does not read starts nothing and is logged.
pub fn subscriptions(triggers: &[Arc<TriggerDef>]) -> Vec<Subscription> {
    let subscription = |trigger: &Arc<TriggerDef>| {
        let TriggerWhen::Reactor { reactor, when } = &trigger.when else { return None };
        let rule = if when.is_empty() { Ok(None) } else { serde_json::from_str(when).map(Some) };
        match rule {
            Ok(when) => Some(Subscription {
                trigger: trigger.name.clone(),
                digest: trigger.digest.clone(),
                reactor: reactor.clone(),
                workflow: trigger.workflow.clone(),
                when,
            }),
            Err(error) => {
                tracing::error!(trigger = trigger.name, %error, "a predicate does not read");
                None
            }
        }
    };
    triggers.iter().filter_map(subscription).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition::tests::flow;

    fn catalog(workflows: &[(&str, &str, u8, &[&str])]) -> Catalog {
        let mut catalog = Catalog::default();
        for (tenant, name, digest, triggers) in workflows {
            let mut def = flow(&[("a", &[])]).expect("one task");
            (def.tenant, def.name) = ((*tenant).into(), (*name).to_owned());
            def.digest = Digest::from_sha256([*digest; 32]);
            def.triggers = triggers.iter().map(|name| (*name).to_owned()).collect();
            catalog.workflows.insert(def.key(), Arc::new(def));
        }
        catalog
    }

    fn targets(catalog: &Catalog, digest: u8) -> Vec<(String, String)> {
        let targets = catalog.targets("nightly", &Digest::from_sha256([digest; 32]), "report");
        targets.into_iter().map(|(tenant, name)| (tenant.to_string(), name)).collect()
    }

    fn key(tenant: &str, name: &str) -> (String, String) {
        (tenant.to_owned(), name.to_owned())
    }

    #[test]
    fn a_trigger_starts_the_workflow_of_its_package_whatever_its_tenant() {
        let catalog = catalog(&[("acme", "report", 1, &[]), ("public", "report", 2, &[])]);
        assert_eq!(targets(&catalog, 1), [key("acme", "report")]);
        assert_eq!(targets(&catalog, 2), [key("public", "report")]);
        assert_eq!(targets(&catalog, 3), [key("public", "report")]);
    }

    #[test]
    fn workflows_that_subscribe_to_a_trigger_are_started_too() {
        let catalog =
            catalog(&[("acme", "report", 1, &["nightly"]), ("b", "mail", 2, &["nightly", "hourly"])]);
        assert_eq!(targets(&catalog, 1), [key("acme", "report"), key("b", "mail")]);
    }

    #[test]
    fn a_workflow_that_nobody_has_is_asked_for_all_the_same() {
        assert_eq!(targets(&catalog(&[]), 1), [key("public", "report")]);
    }
}
