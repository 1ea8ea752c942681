//! The runs that a fire of a trigger starts.

use crate::handle::{EngineHandle, StartRequest};
use longshore_store::{Digest, TenantId};

/// A request for each workflow that a trigger (its name, its digest, the workflow that it names) starts. Each has a
/// dedup key of its own, made of that of the fire.
pub(crate) fn requests(
    engine: &EngineHandle,
    (trigger, digest, workflow): (&str, &Digest, &str),
    origin: &str,
    key: Option<&str>,
) -> Vec<StartRequest> {
    let targets = engine.packages().catalog().targets(trigger, digest, workflow).into_iter();
    let request = |(place, (tenant, workflow)): (usize, (TenantId, String))| {
        let dedup_key = key.map(|key| match place {
            0 => key.to_owned(),
            _ => format!("{key}:{tenant}/{workflow}"),
        });
        StartRequest { tenant, workflow, dedup_key, origin: origin.to_owned(), ..StartRequest::default() }
    };
    targets.enumerate().map(request).collect()
}
