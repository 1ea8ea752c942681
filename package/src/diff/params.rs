//! The params of workflows that both packages have.

use crate::diff::change::{Breaks, Change, ChangeKind};
use crate::diff::fields::{fields, fields_between};
use crate::record::{StaticRecord, WorkflowRecord};

/// A param: name, type, and default as written.
type Param = (String, String, Option<String>);

/// Changes of params, by workflow.
pub(super) fn params(old: &StaticRecord, new: &StaticRecord) -> Vec<Change> {
    let both = old.workflows.iter().filter_map(|before| {
        let same = |w: &&WorkflowRecord| w.tenant == before.tenant && w.name == before.name;
        Some((before, new.workflows.iter().find(same)?))
    });
    both.flat_map(|(before, after)| of_workflow(before, after)).collect()
}

fn of_workflow(before: &WorkflowRecord, after: &WorkflowRecord) -> Vec<Change> {
    let find = |params: &[Param], name: &str| params.iter().find(|(other, ..)| other == name).cloned();
    let changed = before.params.iter().filter_map(|old| match find(&after.params, &old.0) {
        None => Some((old.0.clone(), ChangeKind::Removed, Vec::new(), Some(Breaks::GivenParam))),
        Some(new) => {
            let of = |(_, ty, default): &Param| {
                fields([("type", ty.clone()), ("default", default.clone().unwrap_or_default())])
            };
            let fields = fields_between(&of(old), &of(&new));
            let differs = !fields.is_empty();
            differs.then(|| (old.0.clone(), ChangeKind::Changed, fields, breaks(old, &new)))
        }
    });
    let added = after.params.iter().filter(|(name, ..)| find(&before.params, name).is_none());
    let added = added.map(|(name, _, default)| {
        let breaks = default.is_none().then_some(Breaks::MissingParam);
        (name.clone(), ChangeKind::Added, Vec::new(), breaks)
    });
    let full = |name: &str| format!("{}::{}::{name}", before.tenant, before.name);
    changed
        .chain(added)
        .map(|(name, change, fields, breaks)| Change {
            change,
            kind: "param",
            name: full(&name),
            fields,
            breaks,
        })
        .collect()
}

fn breaks((_, old, had_default): &Param, (_, new, default): &Param) -> Option<Breaks> {
    if old != new {
        return Some(Breaks::ParamType { old: old.clone(), new: new.clone() });
    }
    (had_default.is_some() && default.is_none()).then_some(Breaks::MissingParam)
}
