//! The catalog: what can be run right now.

use crate::model::definition::{WorkflowDef, WorkflowKey};
use crate::model::reactor_def::{GraphDef, ReactorDef, Subscription};
use crate::model::tenancy::{PackageTenants, qualified, resolved};
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
    /// The triggers of the current generations, sorted by name: they are searched for.
    pub triggers: Vec<Arc<TriggerDef>>,
    /// The reactors of the current generations, sorted by name: they are searched for.
    pub reactors: Vec<Arc<ReactorDef>>,
    /// The graphs that reactors fire, by name.
    pub graphs: Vec<Arc<GraphDef>>,
    /// Which firings start which workflows.
    pub subscriptions: Vec<Subscription>,
}

impl Catalog {
    /// The workflows that a trigger starts: the one that it names first, then those that subscribe to it by its name. A
    /// workflow of the trigger's tenant is meant, or else one of `public`.
    pub fn targets(&self, trigger: &str, tenant: &TenantId, workflow: &str) -> Vec<WorkflowKey> {
        let first = self.named(tenant, workflow);
        let subscribed = self.workflows.values().filter(|def| self.subscribes(def, trigger));
        let mut others: Vec<WorkflowKey> =
            subscribed.map(|def| def.key()).filter(|key| *key != first).collect();
        others.sort_unstable();
        std::iter::once(first).chain(others).collect()
    }

    /// The workflow that somebody of a tenant means. One that nobody has is the tenant's own: its start says so.
    fn named(&self, tenant: &TenantId, workflow: &str) -> WorkflowKey {
        let own = (tenant.clone(), workflow.to_owned());
        let public = (TenantId::default(), workflow.to_owned());
        let is_shared = !self.workflows.contains_key(&own) && self.workflows.contains_key(&public);
        if is_shared { public } else { own }
    }

    /// True when a workflow subscribes to a trigger. By a name, its tenant's trigger is meant before that of `public`.
    fn subscribes(&self, def: &WorkflowDef, trigger: &str) -> bool {
        let means = |name: &String| resolved(&def.tenant, name, |name| self.has_trigger(name)) == trigger;
        def.triggers.iter().any(means)
    }

    /// A trigger by its name on this host.
    pub fn trigger(&self, name: &str) -> Option<&Arc<TriggerDef>> {
        let found = self.triggers.binary_search_by(|trigger| trigger.name.as_str().cmp(name)).ok()?;
        self.triggers.get(found)
    }

    fn has_trigger(&self, name: &str) -> bool {
        self.trigger(name).is_some()
    }

    fn has_reactor(&self, name: &str) -> bool {
        self.reactors.binary_search_by(|reactor| reactor.name.as_str().cmp(name)).is_ok()
    }

    /// Names in the entries of each digest that nobody has, as sentences.
    pub fn unresolved(&self) -> HashMap<Digest, Vec<String>> {
        let mut sentences: HashMap<Digest, Vec<String>> = HashMap::new();
        let mut report = |digest: &Digest, sentence| {
            sentences.entry(digest.clone()).or_default().push(sentence);
        };
        for trigger in &self.triggers {
            let TriggerDef { name, tenant, workflow, digest, .. } = &**trigger;
            if !self.workflows.contains_key(&self.named(tenant, workflow)) {
                report(digest, format!("trigger `{name}` starts workflow `{workflow}`"));
            }
            if let TriggerWhen::Reactor { reactor, .. } = &trigger.when
                && !self.has_reactor(&resolved(tenant, reactor, |name| self.has_reactor(name)))
            {
                report(digest, format!("trigger `{name}` waits for reactor `{reactor}`"));
            }
        }
        for def in self.workflows.values() {
            let is_there = |name: &str| self.has_trigger(name);
            for name in def.triggers.iter().filter(|name| !is_there(&resolved(&def.tenant, name, is_there))) {
                report(&def.digest, format!("workflow `{}` subscribes to trigger `{name}`", def.name));
            }
        }
        sentences.values_mut().for_each(|of_digest| of_digest.sort_unstable());
        sentences
    }
}

/// A trigger of a loaded package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerDef {
    /// The digest it is part of.
    pub digest: Digest,
    /// Its index in the package's trigger list.
    pub index: u32,
    /// The tenant: that of the workflow it starts.
    pub tenant: TenantId,
    /// The name on this host, behind `tenant/` for another tenant than `public`.
    pub name: String,
    /// The workflow it starts.
    pub workflow: String,
    /// True when it fires while an earlier run of its own is still going.
    pub allow_concurrent: bool,
    /// When it fires.
    pub when: TriggerWhen,
}

impl TriggerDef {
    /// The origin of the runs that it starts.
    pub fn origin(&self) -> String {
        let kind = match self.when {
            TriggerWhen::Cron { .. } => "cron",
            TriggerWhen::Poll { .. } => "poll",
            TriggerWhen::Reactor { .. } => "reactor",
        };
        format!("{kind}:{}", self.name)
    }
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
        /// The reactor as its author names it: the tenant's, or else that of `public`.
        reactor: String,
        /// A rule over the firing's outputs as JSON, empty for every firing.
        when: String,
    },
}

/// The triggers of a package's metadata, by name.
pub fn triggers(
    metadata: &TriggerMetadata,
    digest: &Digest,
    tenants: &PackageTenants,
) -> Vec<Arc<TriggerDef>> {
    let trigger = |(index, meta): (usize, &TriggerMeta)| {
        let when = if !meta.cron.is_empty() {
            TriggerWhen::Cron { expression: meta.cron.clone(), timezone: meta.timezone.clone() }
        } else if !meta.reactor.is_empty() {
            TriggerWhen::Reactor { reactor: meta.reactor.clone(), when: meta.when.clone() }
        } else {
            TriggerWhen::Poll { interval_ms: meta.poll_interval_ms.max(1) }
        };
        let tenant = tenants.of_trigger(&meta.workflow);
        Arc::new(TriggerDef {
            digest: digest.clone(),
            index: index as u32,
            tenant: tenant.clone(),
            name: qualified(tenant, &meta.name).into_owned(),
            workflow: meta.workflow.clone(),
            allow_concurrent: meta.allow_concurrent,
            when,
        })
    };
    let mut triggers: Vec<Arc<TriggerDef>> = metadata.triggers.iter().enumerate().map(trigger).collect();
    triggers.sort_by(|a, b| a.name.cmp(&b.name));
    triggers
}

/// The subscriptions among triggers, to the reactors that are there. One whose predicate does not read starts nothing and
/// is logged.
pub fn subscriptions(triggers: &[Arc<TriggerDef>], is_reactor: impl Fn(&str) -> bool) -> Vec<Subscription> {
    let subscription = |trigger: &Arc<TriggerDef>| {
        let TriggerWhen::Reactor { reactor, when } = &trigger.when else { return None };
        let rule = if when.is_empty() { Ok(None) } else { serde_json::from_str(when).map(Some) };
        match rule {
            Ok(when) => Some(Subscription {
                trigger: trigger.name.clone(),
                tenant: trigger.tenant.clone(),
                reactor: resolved(&trigger.tenant, reactor, &is_reactor).into_owned(),
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

    fn trigger(tenant: &str, name: &str) -> Arc<TriggerDef> {
        let tenant = TenantId::from(tenant);
        Arc::new(TriggerDef {
            digest: Digest::from_sha256([1; 32]),
            index: 0,
            name: qualified(&tenant, name).into_owned(),
            tenant,
            workflow: "report".to_owned(),
            allow_concurrent: true,
            when: TriggerWhen::Reactor { reactor: "market".to_owned(), when: String::new() },
        })
    }

    fn targets(catalog: &Catalog, tenant: &str) -> Vec<(String, String)> {
        let trigger = trigger(tenant, "nightly");
        let targets = catalog.targets(&trigger.name, &trigger.tenant, &trigger.workflow);
        targets.into_iter().map(|(tenant, name)| (tenant.to_string(), name)).collect()
    }

    fn key(tenant: &str, name: &str) -> (String, String) {
        (tenant.to_owned(), name.to_owned())
    }

    #[test]
    fn a_trigger_starts_the_workflow_of_its_tenant_or_of_public() {
        let catalog = catalog(&[("acme", "report", 1, &[]), ("public", "report", 2, &[])]);
        assert_eq!(targets(&catalog, "acme"), [key("acme", "report")]);
        assert_eq!(targets(&catalog, "public"), [key("public", "report")]);
        assert_eq!(targets(&catalog, "other"), [key("public", "report")]);
    }

    #[test]
    fn workflows_that_subscribe_to_a_trigger_are_started_too() {
        let mut catalog =
            catalog(&[("acme", "report", 1, &["nightly"]), ("b", "mail", 2, &["nightly", "hourly"])]);
        catalog.triggers = vec![trigger("public", "nightly")];
        // Both name that of `public`; `report` is nobody's there.
        assert_eq!(
            targets(&catalog, "public"),
            [key("public", "report"), key("acme", "report"), key("b", "mail")]
        );
        catalog.triggers = vec![trigger("acme", "nightly"), trigger("public", "nightly")];
        assert_eq!(targets(&catalog, "acme"), [key("acme", "report")]);
        assert_eq!(targets(&catalog, "public"), [key("public", "report"), key("b", "mail")]);
    }

    #[test]
    fn a_workflow_that_nobody_has_is_asked_for_all_the_same() {
        assert_eq!(targets(&catalog(&[]), "acme"), [key("acme", "report")]);
    }

    #[test]
    fn what_names_nothing_is_told() {
        let mut catalog = catalog(&[("public", "mail", 1, &["gone"])]);
        catalog.triggers = vec![trigger("public", "nightly")];
        let unresolved = catalog.unresolved();
        assert_eq!(
            unresolved[&Digest::from_sha256([1; 32])],
            [
                "trigger `nightly` starts workflow `report`",
                "trigger `nightly` waits for reactor `market`",
                "workflow `mail` subscribes to trigger `gone`",
            ]
        );
        assert_eq!(unresolved.len(), 1);
    }
}
