//! The differences between two packages, field by field, read from their static records.

mod change;
mod entries;
mod fields;
mod params;
mod step;

pub use change::{Breaks, Change, ChangeKind};
pub use fields::FieldChange;
pub use step::{Step, is_enough, next_version};

use crate::compatibility::{HostAbi, check_on};
use crate::record::{PackageRecord, StaticRecord};
use crate::{Drift, Policy};
use entries::{Key, entries};
use fields::{fields, fields_between};
use serde::Serialize;
use std::collections::BTreeSet;

/// The differences from an old package to a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Changes of entries, by kind and name.
    pub changes: Vec<Change>,
    /// Changes of the build: release, compiler, interface, wire types.
    pub build: Vec<FieldChange>,
    /// True when a host of the old package's release loads the new one.
    pub fits_old_hosts: bool,
    /// True when whatever is bound to the old package's reactors, triggers and workflows still finds them.
    pub fits_old_packages: bool,
    /// The step of the version that the changes ask for; none when nothing differs.
    pub step: Option<Step>,
}

/// Compares two packages.
pub fn compare(old: &StaticRecord, new: &StaticRecord) -> Comparison {
    let changes = diff(old, new);
    let mut build = build_changes(&old.package, &new.package);
    let drifts = drift_on_hosts_of(&old.package, &new.package);
    let fits_old_hosts = drifts.is_empty();
    build.extend(drifts.into_iter().filter_map(wire_change));
    let fits_old_packages = changes.iter().all(|change| change.breaks.is_none());
    let of_build = match (fits_old_hosts, build.is_empty()) {
        (false, _) => Some(Step::Major),
        (true, false) => Some(Step::Patch),
        (true, true) => None,
    };
    let step = changes.iter().map(Change::step).chain(of_build).max();
    Comparison { changes, build, fits_old_hosts, fits_old_packages, step }
}

/// Differences of the entries of two packages, by kind and name.
pub fn diff(old: &StaticRecord, new: &StaticRecord) -> Vec<Change> {
    let (before, after) = (entries(old), entries(new));
    let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
    let change = |key: &Key| {
        let (kind, name) = (key.0, key.1.clone());
        let (change, fields, breaks) = match (before.get(key), after.get(key)) {
            (Some(old), Some(new)) => {
                let fields = fields_between(old, new);
                let breaks = change::breaks_of_fields(kind, &fields);
                (ChangeKind::Changed, fields, breaks)
            }
            (Some(old), None) => (ChangeKind::Removed, Vec::new(), change::breaks_of_removal(kind, old)),
            (None, _) => (ChangeKind::Added, Vec::new(), None),
        };
        let differs = change != ChangeKind::Changed || !fields.is_empty();
        differs.then_some(Change { change, kind, name, fields, breaks })
    };
    let mut changes: Vec<Change> = keys.into_iter().filter_map(change).collect();
    changes.extend(params::params(old, new));
    changes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    changes
}

/// Changes of the build that a reader may want to know of, wire types aside.
fn build_changes(old: &PackageRecord, new: &PackageRecord) -> Vec<FieldChange> {
    let of = |package: &PackageRecord| {
        fields([
            ("authors", package.authors.clone()),
            ("compiler", package.compiler.clone()),
            ("description", package.description.clone()),
            ("features", package.features.clone()),
            ("interface", package.interface_version.to_string()),
            ("license", package.license.clone()),
            ("panic", package.panic.clone()),
            ("profile", package.profile.clone()),
            ("release of longshore", package.sdk.clone()),
        ])
    };
    fields_between(&of(old), &of(new))
}

/// The drifts that a host of one package's release finds in another package.
fn drift_on_hosts_of(old: &PackageRecord, new: &PackageRecord) -> Vec<Drift> {
    let host = HostAbi::of_record(old, new);
    let found = check_on(new, &host, Policy::Relaxed);
    // A host refuses a library that would end it; one that has such a package has given it a process of its own.
    let ends_hosts = old.panic != "abort";
    let concerns_host = |drift: &Drift| match drift {
        Drift::PanicAbort => ends_hosts,
        Drift::NewerInterface { .. }
        | Drift::Interface { .. }
        | Drift::Field { .. }
        | Drift::Order { .. } => true,
        Drift::Platform { .. } | Drift::NotConfigured | Drift::NeverUnmapped => false,
    };
    found.refusals.into_iter().filter(concerns_host).collect()
}

/// A drift as a change of a field; the version of the interface is compared as a field of the build.
fn wire_change(drift: Drift) -> Option<FieldChange> {
    match drift {
        Drift::Field { ty, field, package, host } => {
            Some(FieldChange { field: format!("wire type {ty}.{field}"), old: host, new: package })
        }
        Drift::Order { ty } => Some(FieldChange {
            field: format!("wire type {ty}"),
            old: Some("its fields".into()),
            new: Some("the same fields in another order".into()),
        }),
        Drift::Interface { package, host } => {
            Some(FieldChange { field: "interface hash".into(), old: Some(host), new: Some(package) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
