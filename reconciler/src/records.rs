//! What the reconciler writes down.

use crate::artifact::VerifiedArtifact;
use crate::callbacks::CrashNote;
use crate::error::Error;
use crate::generation::{Generation, Released};
use crate::wanted::Desired;
use longshore_engine::{TriggerWhen, WorkflowDef};
use longshore_store::{
    ArtifactRow, ConditionKind, ConditionRow, ConditionStatus, EntryRow, EventRow, GenerationId,
    GenerationRow, GenerationState, HostId, NewArtifact, NewCondition, NewEvent, NewGeneration, PackageRow,
    PackageState, RegistryRow, RunRow, Store, Tx,
};
use serde_json::json;
use std::sync::Arc;

/// Somebody should look.
const WARNED: [(ConditionKind, ConditionStatus); 1] = [(ConditionKind::Warned, ConditionStatus::True)];

/// The number of the last load step.
const LAST_STEP: i64 = 6;

/// A generation that was published.
pub(crate) struct Entered {
    pub(crate) package: Arc<Desired>,
    pub(crate) generation: Arc<Generation>,
    pub(crate) replaced: Option<Arc<Generation>>,
    pub(crate) warnings: Vec<String>,
    /// Whether a decision to roll back ends with it.
    pub(crate) ends_rollback: bool,
}

impl Entered {
    fn message(&self) -> String {
        let version = &self.package.version;
        match &self.replaced {
            Some(old) => format!("{version} replaced {}", old.artifact().manifest().package.version),
            None => format!("{version} loaded"),
        }
    }
}

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

    pub(crate) async fn probed(
        &self,
        artifact: &VerifiedArtifact,
        answer: &str,
        now: i64,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        insert_artifacts(&mut tx, [artifact], now).await?;
        ArtifactRow::set_probe(&mut tx, artifact.digest().as_str(), answer, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// Generations are open and about to be published: everything about them in one transaction.
    pub(crate) async fn loading(&self, opened: &[&Generation], now: i64) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        insert_artifacts(&mut tx, opened.iter().map(|generation| generation.artifact()), now).await?;
        let rows: Vec<_> = opened.iter().map(|generation| self.new_generation(generation)).collect();
        NewGeneration::insert(&mut tx, &rows, now).await?;
        let entries: Vec<_> =
            opened.iter().flat_map(|g| entries(g).into_iter().map(|entry| (g.digest(), entry))).collect();
        EntryRow::insert(&mut tx, &entries).await?;
        Ok(self.store.commit(tx).await?)
    }

    fn new_generation<'g>(&self, generation: &'g Generation) -> NewGeneration<'g> {
        let package = &generation.artifact().manifest().package;
        NewGeneration {
            id: generation.id(),
            host: self.host,
            digest: generation.digest(),
            package: &package.name,
            version: &package.version,
        }
    }

    /// Generations were published.
    pub(crate) async fn loaded(&self, entered: &[Entered], now: i64) -> Result<(), Error> {
        let mut rows = LoadedRows::default();
        let subjects: Vec<String> = entered.iter().map(|e| package_subject(&e.package.name)).collect();
        let messages: Vec<String> = entered.iter().map(Entered::message).collect();
        for ((entered, subject), message) in entered.iter().zip(&subjects).zip(&messages) {
            rows.add(entered, subject, message, now);
        }
        let mut tx = self.store.begin().await?;
        GenerationRow::set_state(&mut tx, &rows.states).await?;
        PackageRow::put(&mut tx, &rows.packages).await?;
        NewCondition::set(&mut tx, &rows.conditions, now).await?;
        EventRow::append_all(&mut tx, &rows.events, now).await?;
        for entered in entered.iter().filter(|entered| entered.ends_rollback) {
            RegistryRow::give_way(&mut tx, &entered.package.name, now).await?;
        }
        Ok(self.store.commit(tx).await?)
    }

    /// A version is gone back from, unless somebody decided otherwise; whether it is.
    pub(crate) async fn rolled_back(&self, row: &RegistryRow, error: &Error) -> Result<bool, Error> {
        let message = with_fix(error);
        let subject = package_subject(&row.name);
        let (kind, status) = WARNED[0];
        let (reason, digest) = (error.code(), row.avoid.as_str());
        let warned = NewCondition { subject: &subject, kind, status, reason, message, digest };
        let mut tx = self.store.begin().await?;
        if !row.put_unless_decided(&mut tx).await? {
            return Ok(false);
        }
        NewCondition::set(&mut tx, &[warned], row.updated_at).await?;
        self.store.commit(tx).await?;
        Ok(true)
    }

    /// A digest was opened again for the runs that are pinned to it.
    pub(crate) async fn restored(
        &self,
        generation: &Generation,
        pinned_runs: u64,
        now: i64,
    ) -> Result<(), Error> {
        let subject = package_subject(generation.package());
        let version = &generation.artifact().manifest().package.version;
        let message = format!("{version} opened from the private copy for {pinned_runs} runs");
        let mut tx = self.store.begin().await?;
        GenerationRow::set_state(&mut tx, &[(generation.id(), GenerationState::Draining, LAST_STEP)]).await?;
        EventRow::append(&mut tx, &subject, "restored", &message, now).await?;
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
        let probe_failed = matches!(
            error,
            Error::ProbeCrashed { .. }
                | Error::ProbeHung { .. }
                | Error::ProbeRefused { .. }
                | Error::Quarantined { .. }
        );
        let refused = (ConditionKind::Accepted, ConditionStatus::False);
        let quarantined = (ConditionKind::Quarantined, ConditionStatus::True);
        let conditions = if probe_failed { &[refused, quarantined][..] } else { &[refused] };
        let message = with_fix(error);
        let event = NewEvent { subject, kind: "refused", message: &format!("{} {message}", error.code()) };
        self.note(event, conditions, error.code(), &message, digest, now).await
    }

    /// A package stays although it was to go.
    pub(crate) async fn kept(
        &self,
        subject: &str,
        digest: &str,
        error: &Error,
        now: i64,
    ) -> Result<(), Error> {
        let message = with_fix(error);
        let event = NewEvent { subject, kind: "kept", message: &message };
        self.note(event, &WARNED, error.code(), &message, digest, now).await
    }

    /// The process of an isolated package ended.
    pub(crate) async fn crashed(
        &self,
        generation: &Generation,
        crash: &CrashNote,
        now: i64,
    ) -> Result<(), Error> {
        let error = Error::Crashed { how: crash.how.clone() };
        let message = with_fix(&error);
        let subject = package_subject(generation.package());
        let told = format!("{} {}\n{}", error.code(), error.full(), crash.report);
        let event = NewEvent { subject: &subject, kind: "crashed", message: &told };
        self.note(event, &WARNED, error.code(), &message, generation.digest(), now).await
    }

    /// Sets conditions of a subject and tells of an event, both for one reason.
    async fn note(
        &self,
        event: NewEvent<'_>,
        conditions: &[(ConditionKind, ConditionStatus)],
        reason: &str,
        message: &str,
        digest: &str,
        now: i64,
    ) -> Result<(), Error> {
        let condition = |(kind, status): &(ConditionKind, ConditionStatus)| NewCondition {
            subject: event.subject,
            kind: *kind,
            status: *status,
            reason,
            message: message.to_owned(),
            digest,
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        let mut tx = self.store.begin().await?;
        NewCondition::set(&mut tx, &conditions, now).await?;
        EventRow::append_all(&mut tx, &[event], now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// What became of the open runs of a workflow when its package was replaced.
    pub(crate) async fn upgraded(&self, package: &str, message: &str, now: i64) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        EventRow::append(&mut tx, &package_subject(package), "migrated", message, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// The runs of a generation are asked to stop. Returns how many.
    pub(crate) async fn cancelled(&self, name: &str, digest: &str, now: i64) -> Result<u64, Error> {
        let mut tx = self.store.begin().await?;
        let runs = RunRow::request_cancel_of(&mut tx, digest, now).await?;
        let message = format!("its drain deadline has passed: {runs} runs are asked to stop");
        EventRow::append(&mut tx, &package_subject(name), "cancelled", &message, now).await?;
        self.store.commit(tx).await?;
        Ok(runs)
    }

    /// A generation is closed over attempts that did not stop.
    pub(crate) async fn orphaned(&self, generation: &Generation, lost: usize, now: i64) -> Result<(), Error> {
        let subject = package_subject(generation.package());
        let version = &generation.artifact().manifest().package.version;
        let message = format!("{version} is closed over {lost} attempts that did not stop");
        let mut tx = self.store.begin().await?;
        EventRow::append(&mut tx, &subject, "orphaned", &message, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    pub(crate) async fn retired(
        &self,
        generation: &Generation,
        decision: Option<&RegistryRow>,
        now: i64,
    ) -> Result<(), Error> {
        let (actor, reason) = match decision {
            Some(row) => (row.actor.as_str(), row.reason.as_str()),
            None => ("directory", "its file is gone"),
        };
        let subject = package_subject(generation.package());
        let row = PackageRow {
            name: generation.package().to_owned(),
            version: generation.artifact().manifest().package.version.clone(),
            digest: generation.digest().to_owned(),
            source: String::new(),
            state: PackageState::Removed,
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            updated_at: now,
        };
        let not_ready = NewCondition {
            subject: &subject,
            kind: ConditionKind::Ready,
            status: ConditionStatus::False,
            reason: "Removed",
            message: format!("removed by {actor}: {reason}"),
            digest: generation.digest(),
        };
        let message = &format!("by {actor}: {reason}; runs that started on it go on");
        let mut tx = self.store.begin().await?;
        GenerationRow::set_state(&mut tx, &[(generation.id(), GenerationState::Draining, 0)]).await?;
        PackageRow::put(&mut tx, &[row]).await?;
        NewCondition::set(&mut tx, &[not_ready], now).await?;
        EventRow::append(&mut tx, &subject, "retired", message, now).await?;
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

/// A digest was taken in by a command; no host has opened it yet.
pub(crate) async fn taken_in(store: &Store, artifact: &VerifiedArtifact, now: i64) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    insert_artifacts(&mut tx, [artifact], now).await?;
    ArtifactRow::renew(&mut tx, artifact.digest().as_str(), now).await?;
    Ok(store.commit(tx).await?)
}

async fn insert_artifacts<'a>(
    tx: &mut Tx,
    artifacts: impl IntoIterator<Item = &'a VerifiedArtifact>,
    now: i64,
) -> Result<(), Error> {
    let artifacts: Vec<(&VerifiedArtifact, String)> =
        artifacts.into_iter().map(|artifact| (artifact, artifact.manifest().to_toml())).collect();
    let rows: Vec<NewArtifact<'_>> =
        artifacts.iter().map(|(artifact, manifest)| artifact_row(artifact, manifest)).collect();
    Ok(NewArtifact::insert(tx, &rows, now).await?)
}

fn artifact_row<'a>(artifact: &'a VerifiedArtifact, manifest: &'a str) -> NewArtifact<'a> {
    let package = &artifact.manifest().package;
    NewArtifact {
        digest: artifact.digest().as_str(),
        name: &package.name,
        version: &package.version,
        target: artifact.target(),
        bytes: i64::try_from(artifact.bytes()).unwrap_or(i64::MAX),
        library: artifact.library_name(),
        library_sha256: artifact.sha256(),
        manifest,
    }
}

/// The rows of generations that were published.
#[derive(Default)]
struct LoadedRows<'a> {
    states: Vec<(GenerationId, GenerationState, i64)>,
    packages: Vec<PackageRow>,
    conditions: Vec<NewCondition<'a>>,
    events: Vec<NewEvent<'a>>,
}

impl<'a> LoadedRows<'a> {
    fn add(&mut self, entered: &'a Entered, subject: &'a str, message: &'a str, now: i64) {
        let Entered { package, generation, replaced, warnings, .. } = entered;
        let digest = generation.digest();
        self.states.push((generation.id(), GenerationState::Active, LAST_STEP));
        self.states.extend(replaced.iter().map(|old| (old.id(), GenerationState::Draining, 0)));
        self.packages.push(PackageRow {
            name: package.name.clone(),
            version: package.version.clone(),
            digest: digest.to_owned(),
            source: package.origin.to_string(),
            state: PackageState::Desired,
            actor: package.actor().to_owned(),
            reason: package.why(),
            updated_at: now,
        });
        let mut condition = |kind, status, reason, message| {
            self.conditions.push(NewCondition { subject, kind, status, reason, message, digest });
        };
        for kind in [ConditionKind::Accepted, ConditionKind::Loaded, ConditionKind::Ready] {
            condition(kind, ConditionStatus::True, "Ok", message.to_owned());
        }
        let (warned, reason) = match warnings.is_empty() {
            true => (ConditionStatus::False, "Ok"),
            false => (ConditionStatus::True, "LS0208"),
        };
        condition(ConditionKind::Warned, warned, reason, warnings.join("; "));
        condition(ConditionKind::Quarantined, ConditionStatus::False, "Ok", String::new());
        self.events.push(NewEvent { subject, kind: "loaded", message });
    }
}

/// What is wrong, and what to do about it.
fn with_fix(error: &Error) -> String {
    format!("{}. {}", error.full(), capitalised(&error.fix()))
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
            TriggerWhen::Reactor { reactor, when } => json!({ "reactor": reactor, "when": when }),
        };
        let detail = json!({ "workflow": trigger.workflow, "when": when }).to_string();
        EntryRow { kind: "trigger".into(), name: trigger.name.clone(), detail }
    }));
    let record = generation.artifact().record();
    rows.extend(record.reactors.iter().map(|r| {
        let detail = json!({
            "sources": r.sources,
            "criteria": r.criteria,
            "criteria_sources": r.criteria_sources,
            "input_strategy": r.input_strategy,
        });
        EntryRow { kind: "reactor".into(), name: r.name.clone(), detail: detail.to_string() }
    }));
    rows.extend(record.graphs.iter().map(|g| {
        let detail = json!({
            "reactor": g.reactor,
            "nodes": g.nodes,
            "edges": g.edges,
            "terminals": g.terminals,
            "inputs": g.inputs,
        });
        EntryRow { kind: "graph".into(), name: g.name.clone(), detail: detail.to_string() }
    }));
    rows
}
