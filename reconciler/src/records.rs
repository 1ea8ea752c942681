//! What the reconciler writes down.

use crate::artifact::VerifiedArtifact;
use crate::error::Error;
use crate::generation::{Generation, Released};
use crate::plan::Desired;
use longshore_engine::{TriggerWhen, WorkflowDef};
use longshore_store::{
    ArtifactRow, ConditionRow, EntryRow, EventRow, GenerationRow, HostId, NewArtifact, NewCondition,
    NewGeneration, PackageRow, Store, Tx,
};
use serde_json::json;

/// The number of the last load step.
const LAST_STEP: i64 = 6;

/// Writes to the database in the name of a host.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    pub(crate) store: Store,
    pub(crate) host: HostId,
}

/// The subject of a package's conditions and events.
pub(crate) fn package_subject(name: &str) -> String {
    format!("package/{name}")
}

/// The subject of a file that could not even be named.
pub(crate) fn file_subject(path: &std::path::Path) -> String {
    format!("file/{}", path.display())
}

impl Records {
    /// Whether a digest is known, and what its probe said.
    pub(crate) async fn probe_of(&self, digest: &str) -> Result<Option<String>, Error> {
        Ok(ArtifactRow::find(&self.store, digest).await?.and_then(|row| row.probe))
    }

    pub(crate) async fn accepted(&self, artifact: &VerifiedArtifact, now: i64) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        insert_artifact(&mut tx, artifact, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    pub(crate) async fn probed(
        &self,
        artifact: &VerifiedArtifact,
        answer: &str,
        now: i64,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        insert_artifact(&mut tx, artifact, now).await?;
        ArtifactRow::set_probe(&mut tx, artifact.digest().as_str(), answer, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// A generation is loaded and about to be published: everything about it in one transaction.
    pub(crate) async fn loading(
        &self,
        package: &Desired,
        generation: &Generation,
        now: i64,
    ) -> Result<(), Error> {
        let artifact = generation.artifact();
        let digest = artifact.digest().as_str();
        let mut tx = self.store.begin().await?;
        insert_artifact(&mut tx, artifact, now).await?;
        let row = NewGeneration {
            id: generation.id(),
            host: self.host,
            digest,
            package: &package.name,
            version: &package.version,
        };
        row.insert(&mut tx, now).await?;
        EntryRow::insert(&mut tx, digest, &entries(generation)).await?;
        Ok(self.store.commit(tx).await?)
    }

    pub(crate) async fn loaded(
        &self,
        package: &Desired,
        generation: &Generation,
        replaced: Option<&Generation>,
        warnings: &[String],
        now: i64,
    ) -> Result<(), Error> {
        let subject = package_subject(&package.name);
        let digest = generation.digest();
        let mut tx = self.store.begin().await?;
        GenerationRow::set_step(&mut tx, generation.id(), "active", LAST_STEP).await?;
        let row = PackageRow {
            name: package.name.clone(),
            version: package.version.clone(),
            digest: digest.to_owned(),
            source: package.path.display().to_string(),
            state: "desired".into(),
            actor: "directory".into(),
            reason: "the file is there".into(),
            updated_at: now,
        };
        row.put(&mut tx).await?;
        let message = match replaced {
            Some(old) => {
                GenerationRow::set_step(&mut tx, old.id(), "draining", 0).await?;
                format!("{} replaced {}", package.version, old.artifact().manifest().package.version)
            }
            None => format!("{} loaded", package.version),
        };
        for kind in ["Accepted", "Loaded", "Ready"] {
            condition(&mut tx, &subject, kind, "true", "Ok", &message, digest, now).await?;
        }
        if warnings.is_empty() {
            condition(&mut tx, &subject, "Warned", "false", "Ok", "", digest, now).await?;
        } else {
            condition(&mut tx, &subject, "Warned", "true", "LS0208", &warnings.join("; "), digest, now)
                .await?;
        }
        condition(&mut tx, &subject, "Quarantined", "false", "Ok", "", digest, now).await?;
        EventRow::append(&mut tx, &subject, "loaded", &message, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// A package, or a file that is none, was refused.
    pub(crate) async fn refused(
        &self,
        subject: &str,
        digest: &str,
        error: &Error,
        now: i64,
    ) -> Result<(), Error> {
        let message = format!("{}. {}", error.full(), capitalised(&error.fix()));
        let mut tx = self.store.begin().await?;
        condition(&mut tx, subject, "Accepted", "false", error.code(), &message, digest, now).await?;
        let probe_failed = matches!(
            error,
            Error::ProbeCrashed { .. }
                | Error::ProbeHung { .. }
                | Error::ProbeRefused { .. }
                | Error::Quarantined { .. }
        );
        if probe_failed {
            condition(&mut tx, subject, "Quarantined", "true", error.code(), &message, digest, now).await?;
        }
        EventRow::append(&mut tx, subject, "refused", &format!("{} {message}", error.code()), now).await?;
        Ok(self.store.commit(tx).await?)
    }

    pub(crate) async fn retired(&self, generation: &Generation, now: i64) -> Result<(), Error> {
        let subject = package_subject(generation.package());
        let mut tx = self.store.begin().await?;
        GenerationRow::set_step(&mut tx, generation.id(), "draining", 0).await?;
        let row = PackageRow {
            name: generation.package().to_owned(),
            version: generation.artifact().manifest().package.version.clone(),
            digest: generation.digest().to_owned(),
            source: String::new(),
            state: "removed".into(),
            actor: "directory".into(),
            reason: "the file is gone".into(),
            updated_at: now,
        };
        row.put(&mut tx).await?;
        condition(
            &mut tx,
            &subject,
            "Ready",
            "false",
            "Removed",
            "its file is gone",
            generation.digest(),
            now,
        )
        .await?;
        EventRow::append(
            &mut tx,
            &subject,
            "retired",
            "its file is gone; runs that started on it go on",
            now,
        )
        .await?;
        Ok(self.store.commit(tx).await?)
    }

    pub(crate) async fn unloaded(
        &self,
        generation: &Generation,
        released: Released,
        gone: bool,
        now: i64,
    ) -> Result<(), Error> {
        let subject = package_subject(generation.package());
        let mut tx = self.store.begin().await?;
        GenerationRow::set_unloaded(&mut tx, generation.id(), &released.to_string(), now).await?;
        if gone {
            ConditionRow::clear(&mut tx, &subject).await?;
        }
        let message = format!("{} unloaded: {released}", generation.artifact().manifest().package.version);
        EventRow::append(&mut tx, &subject, "unloaded", &message, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// Forgets what was said about files that are there no more, or are packages now.
    pub(crate) async fn forget(&self, subjects: &[String]) -> Result<(), Error> {
        if subjects.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        for subject in subjects {
            ConditionRow::clear(&mut tx, subject).await?;
        }
        Ok(self.store.commit(tx).await?)
    }
}

async fn insert_artifact(tx: &mut Tx, artifact: &VerifiedArtifact, now: i64) -> Result<(), Error> {
    let package = &artifact.manifest().package;
    let row = NewArtifact {
        digest: artifact.digest().as_str(),
        name: &package.name,
        version: &package.version,
        target: artifact.target(),
        bytes: i64::try_from(artifact.bytes()).unwrap_or(i64::MAX),
        manifest: &artifact.manifest().to_toml(),
    };
    Ok(row.insert(tx, now).await?)
}

#[expect(clippy::too_many_arguments, reason = "the columns of a condition, in the order of the table")]
async fn condition(
    tx: &mut Tx,
    subject: &str,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    digest: &str,
    now: i64,
) -> Result<(), Error> {
    Ok(NewCondition { subject, kind, status, reason, message, digest }.set(tx, now).await?)
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Every entry of a generation with everything about it.
fn entries(generation: &Generation) -> Vec<EntryRow> {
    let workflow = |def: &WorkflowDef| {
        let params: Vec<_> = def
            .params
            .iter()
            .map(|p| json!({ "name": p.name, "type": p.type_name, "default": p.default, "schema": p.schema }))
            .collect();
        let detail = json!({ "description": def.description, "params": params }).to_string();
        EntryRow { kind: "workflow".into(), name: format!("{}::{}", def.tenant, def.name), detail }
    };
    let tasks = |def: &WorkflowDef| -> Vec<EntryRow> {
        let task = |task: &longshore_engine::TaskDef| {
            let dependencies: Vec<&str> =
                task.dependencies.iter().map(|d| def.tasks[*d].id.as_str()).collect();
            let detail = json!({
                "dependencies": dependencies,
                "rule": task.rule,
                "retry": task.retry,
                "what": task.what,
            });
            EntryRow {
                kind: "task".into(),
                name: format!("{}::{}::{}", def.tenant, def.name, task.id),
                detail: detail.to_string(),
            }
        };
        def.tasks.iter().map(task).collect()
    };
    let mut rows: Vec<EntryRow> = generation.workflows().iter().map(|def| workflow(def)).collect();
    rows.extend(generation.workflows().iter().flat_map(|def| tasks(def)));
    rows.extend(generation.triggers().iter().map(|trigger| {
        let when = match &trigger.when {
            TriggerWhen::Cron { expression, timezone } => json!({ "cron": expression, "timezone": timezone }),
            TriggerWhen::Poll { interval_ms } => json!({ "poll_interval_ms": interval_ms }),
        };
        let detail = json!({ "workflow": trigger.workflow, "when": when }).to_string();
        EntryRow { kind: "trigger".into(), name: trigger.name.clone(), detail }
    }));
    rows
}
