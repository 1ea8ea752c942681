//! The tenants of triggers, reactors and graphs, and the names that they have on a host.
//!
//! A package names no tenant for them: they are of the tenant of the workflows that they are there for. So two tenants
//! load packages that have triggers and reactors of the same names.
//!
//! # Caveats
//! - A package that gets a workflow of another tenant changes the tenant of its reactors, and with it their names on the host:
//!   they would start without the records of the ones before. Hosts refuse such a version while the one before is loaded.

use longshore_store::TenantId;
use std::borrow::Cow;
use std::collections::HashMap;

/// The tenants of what a package has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageTenants {
    of_workflow: HashMap<String, TenantId>,
    shared: TenantId,
}

impl PackageTenants {
    /// The tenants of a package with these workflows. Where several tenants have a workflow of one name, `public` comes
    /// first, then the first by name.
    pub fn of<'w>(workflows: impl Iterator<Item = (&'w TenantId, &'w str)>) -> Self {
        let mut of_workflow: HashMap<String, TenantId> = HashMap::new();
        let rank = |tenant: &TenantId| (*tenant != TenantId::default(), tenant.clone());
        let mut all: Vec<&TenantId> = Vec::new();
        for (tenant, workflow) in workflows {
            all.push(tenant);
            match of_workflow.get(workflow) {
                Some(known) if rank(known) <= rank(tenant) => {}
                _ => drop(of_workflow.insert(workflow.to_owned(), tenant.clone())),
            }
        }
        let shared = all.first().filter(|first| all.iter().all(|tenant| tenant == *first));
        Self { of_workflow, shared: shared.copied().cloned().unwrap_or_default() }
    }

    /// The tenant of a trigger that names a workflow: the workflow's, or the package's when another package has it.
    pub fn of_trigger(&self, workflow: &str) -> &TenantId {
        self.of_workflow.get(workflow).unwrap_or(&self.shared)
    }

    /// The tenant of the package's reactors and graphs: that of its workflows when they share one, `public` otherwise.
    pub fn shared(&self) -> &TenantId {
        &self.shared
    }

    /// The name on a host of a trigger of the package that names a workflow.
    pub fn trigger_name(&self, workflow: &str, name: &str) -> String {
        qualified(self.of_trigger(workflow), name).into_owned()
    }

    /// The name on a host of a reactor of the package.
    pub fn reactor_name(&self, name: &str) -> String {
        qualified(&self.shared, name).into_owned()
    }

    /// The name on a host of the reactor that a graph of the package means, when `is_there` tells of reactors by their
    /// names on the host.
    pub fn reactor_meant(&self, name: &str, is_there: impl Fn(&str) -> bool) -> String {
        resolved(&self.shared, name, is_there).into_owned()
    }
}

/// The name on a host of a trigger or reactor: as its author wrote it for tenant `public`, behind `tenant/` for others.
pub(crate) fn qualified<'n>(tenant: &TenantId, name: &'n str) -> Cow<'n, str> {
    if *tenant == TenantId::default() { Cow::Borrowed(name) } else { Cow::Owned(format!("{tenant}/{name}")) }
}

/// The name on a host of the trigger or reactor that somebody of a tenant means: one of this tenant, or else one of
/// `public`.
pub(crate) fn resolved<'n>(
    tenant: &TenantId,
    name: &'n str,
    is_there: impl Fn(&str) -> bool,
) -> Cow<'n, str> {
    let own = qualified(tenant, name);
    if is_there(&own) { own } else { Cow::Borrowed(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_of_the_tenant_of_its_workflow_and_reactors_of_the_one_that_all_share() {
        let (acme, public) = (TenantId::from("acme"), TenantId::default());
        let one = PackageTenants::of([(&acme, "a"), (&acme, "b")].into_iter());
        assert_eq!((one.of_trigger("a"), one.of_trigger("elsewhere"), one.shared()), (&acme, &acme, &acme));
        let two = PackageTenants::of([(&acme, "a"), (&public, "b"), (&acme, "b")].into_iter());
        assert_eq!((two.of_trigger("a"), two.of_trigger("b"), two.shared()), (&acme, &public, &public));
        assert_eq!(PackageTenants::of(std::iter::empty()).shared(), &public);
    }

    #[test]
    fn a_tenant_means_its_own_before_that_of_public() {
        let acme = TenantId::from("acme");
        let is_there = |name: &str| ["market", "acme/market", "rates"].contains(&name);
        assert_eq!(resolved(&acme, "market", is_there), "acme/market");
        assert_eq!(resolved(&acme, "rates", is_there), "rates");
        assert_eq!(resolved(&TenantId::default(), "market", is_there), "market");
    }
}
