//! The journal: what the reconciler records in the database.

use crate::artifact::cache::VerifiedArtifact;
use crate::artifact::warning::Warning;
use crate::catalog::steps::last_number;
use crate::error::{Error, ROLLED_BACK};
use crate::plan::model::{Desired, Origin};
use crate::reconcile::entry_rows::entries;
use crate::runtime::callbacks::CrashNote;
use crate::runtime::generation::{Generation, UnloadResult};
use longshore_package::trust::Signature;
use longshore_package::{Digest, PackageName};
use longshore_store::{
    ArtifactRow, ConditionKind, ConditionRow, ConditionStatus, EntryRow, EventKind, EventRow, GenerationId,
    GenerationRow, GenerationState, HostId, NewArtifact, NewCondition, NewEvent, NewGeneration, Override,
    OverrideKind, PackageRow, PackageState, RunRow, Store, Subject, Tx, Verdict, VerdictRow,
};
use std::path::PathBuf;
use std::sync::Arc;

/// Files whose refusals are recorded in one transaction: a folder may hold thousands that are not packages.
const FILES_AT_ONCE: usize = 256;

/// Generations of a package among which the one before a restart is looked for.
const RECENT: i64 = 64;

/// A problem that does not keep a package from being loaded.
const DEGRADED: [(ConditionKind, ConditionStatus); 1] = [(ConditionKind::Degraded, ConditionStatus::True)];

/// A generation that was published.
pub(crate) struct Registered {
    pub(crate) package: Arc<Desired>,
    pub(crate) generation: Arc<Generation>,
    pub(crate) replaced: Option<Arc<Generation>>,
    pub(crate) warnings: Vec<Warning>,
    /// Whose decision it is.
    pub(crate) actor: String,
    /// True when the roll-back of its package ends with it.
    pub(crate) ends_rollback: bool,
    /// The result of the trust policy, in words; none when it asks for nothing.
    pub(crate) admission: Option<String>,
    /// True when it was published before: only its conditions change.
    pub(crate) ran_before: bool,
}

impl Registered {
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
pub(crate) struct Journal {
    pub(crate) store: Store,
    pub(crate) host: HostId,
}

impl Journal {
    /// The verdict about a digest in an environment, when it is known.
    pub(crate) async fn verdict_of(
        &self,
        digest: &Digest,
        environment: &str,
    ) -> Result<Option<VerdictRow>, Error> {
        Ok(VerdictRow::find(&self.store, digest, environment).await?)
    }

    /// Records the verdict of a probe: sound, or the refusal.
    pub(crate) async fn probed(
        &self,
        artifact: &VerifiedArtifact,
        environment: &str,
        refusal: Option<&Error>,
        now: i64,
    ) -> Result<(), Error> {
        let verdict = if refusal.is_some() { Verdict::Quarantined } else { Verdict::Sound };
        let row = VerdictRow {
            digest: artifact.digest().clone(),
            environment: environment.to_owned(),
            package: artifact.manifest().package.name.clone(),
            verdict,
            code: refusal.map(|error| error.code().to_owned()),
            message: refusal.map(Error::full),
            probed_at: now,
        };
        let mut tx = self.store.begin().await?;
        insert_artifacts(&mut tx, [artifact], now).await?;
        row.put(&mut tx).await?;
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
    pub(crate) async fn loaded(&self, registered: &[Registered], now: i64) -> Result<(), Error> {
        let mut rows = LoadedRows::default();
        let messages: Vec<String> = registered.iter().map(Registered::message).collect();
        for (registered, message) in registered.iter().zip(&messages) {
            rows.add(registered, message, now);
        }
        let mut tx = self.store.begin().await?;
        GenerationRow::set_state(&mut tx, &rows.states, now).await?;
        PackageRow::put(&mut tx, &rows.packages).await?;
        NewCondition::set(&mut tx, &rows.conditions, now).await?;
        EventRow::append_all(&mut tx, &rows.events, now).await?;
        for registered in registered.iter().filter(|registered| registered.ends_rollback) {
            Override::end_roll_back(&mut tx, &registered.package.name, now).await?;
        }
        Ok(self.store.commit(tx).await?)
    }

    /// Records a roll-back, unless an operator overrode the package. False then.
    pub(crate) async fn rolled_back(&self, row: &Override, error: &Error) -> Result<bool, Error> {
        let message = with_fix(error);
        let (kind, status) = DEGRADED[0];
        let (subject, reason) = (Subject::Package(&row.name), error.code());
        let digest = text_of(row.avoid.as_ref());
        let degraded = NewCondition { subject, kind, status, reason, message, digest };
        let mut tx = self.store.begin().await?;
        if !row.put_unless_overridden(&mut tx).await? {
            return Ok(false);
        }
        NewCondition::set(&mut tx, &[degraded], row.updated_at).await?;
        self.store.commit(tx).await?;
        Ok(true)
    }

    /// When the runs of a digest that this host has just opened began to be only finished: earlier than now when it
    /// drained on a host before this one.
    pub(crate) async fn draining_since(&self, generation: &Generation, now: i64) -> Result<i64, Error> {
        let rows = GenerationRow::newest(&self.store, Some(generation.package()), RECENT).await?;
        let before = rows.into_iter().find(|row| row.digest == *generation.digest());
        Ok(before.and_then(|row| row.drained_at).unwrap_or(now))
    }

    /// A digest was opened again for the runs that are pinned to it.
    pub(crate) async fn restored(
        &self,
        generation: &Generation,
        pinned_runs: u64,
        since: i64,
        now: i64,
    ) -> Result<(), Error> {
        let subject = Subject::Package(generation.package());
        let version = &generation.artifact().manifest().package.version;
        let message = format!("{version} opened from the artifact cache for {pinned_runs} runs");
        let state = (generation.id(), GenerationState::Draining, last_number().into());
        let mut tx = self.store.begin().await?;
        GenerationRow::set_state(&mut tx, &[state], since).await?;
        // An earlier attempt to open it may have failed.
        ConditionRow::clear(&mut tx, Subject::Digest(generation.digest())).await?;
        EventRow::append(&mut tx, subject, EventKind::Restored, &message, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// A package, or a file that is not a package, was refused.
    pub(crate) async fn refused(
        &self,
        subject: Subject<'_>,
        digest: Option<&Digest>,
        error: &Error,
        now: i64,
    ) -> Result<(), Error> {
        let probe_failed = matches!(
            error,
            Error::ProbeCrashed { .. }
                | Error::ProbeHung { .. }
                | Error::ChildRefused { .. }
                | Error::Quarantined { .. }
        );
        let refused = (ConditionKind::Accepted, ConditionStatus::False);
        let quarantined = (ConditionKind::Quarantined, ConditionStatus::True);
        let conditions = if probe_failed { &[refused, quarantined][..] } else { &[refused] };
        let message = with_fix(error);
        let told = format!("{} {message}", error.code());
        let event = NewEvent { subject, kind: EventKind::Refused, message: &told };
        self.note(event, conditions, error.code(), &message, digest, now).await
    }

    /// Files that are not packages, or sources that are not as they were: a transaction for many of them.
    pub(crate) async fn refused_files(&self, refused: &[(PathBuf, Error)], now: i64) -> Result<(), Error> {
        for chunk in refused.chunks(FILES_AT_ONCE) {
            let texts: Vec<(String, String)> = chunk
                .iter()
                .map(|(_, error)| {
                    let message = with_fix(error);
                    (format!("{} {message}", error.code()), message)
                })
                .collect();
            let conditions: Vec<_> = chunk
                .iter()
                .zip(&texts)
                .map(|((path, error), (_, message))| NewCondition {
                    subject: Subject::File(path),
                    kind: ConditionKind::Accepted,
                    status: ConditionStatus::False,
                    reason: error.code(),
                    message: message.clone(),
                    digest: "",
                })
                .collect();
            let told = texts.iter().map(|(told, _)| told);
            let events: Vec<_> = chunk
                .iter()
                .zip(told)
                .map(|((path, _), message)| NewEvent {
                    subject: Subject::File(path),
                    kind: EventKind::Refused,
                    message,
                })
                .collect();
            let mut tx = self.store.begin().await?;
            NewCondition::set(&mut tx, &conditions, now).await?;
            EventRow::append_all(&mut tx, &events, now).await?;
            self.store.commit(tx).await?;
        }
        Ok(())
    }

    /// A package is degraded: it stays although it was to be unloaded, or leaves libraries mapped.
    pub(crate) async fn degraded(
        &self,
        package: &PackageName,
        digest: Option<&Digest>,
        error: &Error,
        now: i64,
    ) -> Result<(), Error> {
        let message = with_fix(error);
        let subject = Subject::Package(package);
        let event = NewEvent { subject, kind: EventKind::Retained, message: &message };
        self.note(event, &DEGRADED, error.code(), &message, digest, now).await
    }

    /// Records whether entries of a package name what no loaded package has: with an error they do.
    pub(crate) async fn unresolved(
        &self,
        generation: &Generation,
        error: Option<&Error>,
        now: i64,
    ) -> Result<(), Error> {
        let (status, reason, message) = match error {
            Some(error) => (ConditionStatus::True, error.code(), with_fix(error)),
            None => (ConditionStatus::False, "Ok", "all names resolve".to_owned()),
        };
        let subject = Subject::Package(generation.package());
        let event = NewEvent { subject, kind: EventKind::Unresolved, message: &message };
        let conditions = [(ConditionKind::Unresolved, status)];
        self.note(event, &conditions, reason, &message, Some(generation.digest()), now).await
    }

    /// The process of an isolated package ended.
    pub(crate) async fn crashed(
        &self,
        generation: &Generation,
        crash: &CrashNote,
        now: i64,
    ) -> Result<(), Error> {
        let error = Error::Crashed { exit: crash.exit.clone() };
        let message = with_fix(&error);
        let subject = Subject::Package(generation.package());
        let told = format!("{} {}\n{}", error.code(), error.full(), crash.report);
        let event = NewEvent { subject, kind: EventKind::Crashed, message: &told };
        self.note(event, &DEGRADED, error.code(), &message, Some(generation.digest()), now).await
    }

    /// Sets conditions of a subject and appends an event, both for one reason.
    async fn note(
        &self,
        event: NewEvent<'_>,
        conditions: &[(ConditionKind, ConditionStatus)],
        reason: &str,
        message: &str,
        digest: Option<&Digest>,
        now: i64,
    ) -> Result<(), Error> {
        let condition = |(kind, status): &(ConditionKind, ConditionStatus)| NewCondition {
            subject: event.subject,
            kind: *kind,
            status: *status,
            reason,
            message: message.to_owned(),
            digest: text_of(digest),
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        let mut tx = self.store.begin().await?;
        NewCondition::set(&mut tx, &conditions, now).await?;
        EventRow::append_all(&mut tx, &[event], now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// The open runs of a workflow moved to the next version, or stayed.
    pub(crate) async fn migrated(&self, package: &PackageName, message: &str, now: i64) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        EventRow::append(&mut tx, Subject::Package(package), EventKind::Migrated, message, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// The runs of a generation are asked to stop. Returns how many.
    pub(crate) async fn cancelled(
        &self,
        name: &PackageName,
        digest: &Digest,
        now: i64,
    ) -> Result<u64, Error> {
        let mut tx = self.store.begin().await?;
        let runs = RunRow::request_cancel_of(&mut tx, digest, now).await?;
        let message = format!("its drain deadline has passed: {runs} runs are asked to stop");
        EventRow::append(&mut tx, Subject::Package(name), EventKind::Cancelled, &message, now).await?;
        self.store.commit(tx).await?;
        Ok(runs)
    }

    /// A generation is closed over attempts that did not stop.
    pub(crate) async fn force_unloaded(
        &self,
        generation: &Generation,
        lost: usize,
        now: i64,
    ) -> Result<(), Error> {
        let subject = Subject::Package(generation.package());
        let version = &generation.artifact().manifest().package.version;
        let message = format!("{version} is closed over {lost} attempts that did not stop");
        let mut tx = self.store.begin().await?;
        EventRow::append(&mut tx, subject, EventKind::ForceUnloaded, &message, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    pub(crate) async fn retired(
        &self,
        generation: &Generation,
        overridden_by: Option<&Override>,
        now: i64,
    ) -> Result<(), Error> {
        let (actor, reason) = match overridden_by {
            Some(row) => (row.actor.as_str(), row.reason.as_str()),
            None => ("directory", "its file is gone"),
        };
        let subject = Subject::Package(generation.package());
        let row = removed_row(generation, actor, reason, now);
        let not_ready = not_ready(generation, actor, reason);
        let message = &format!("by {actor}: {reason}; runs that started on it go on");
        let mut tx = self.store.begin().await?;
        GenerationRow::set_state(&mut tx, &[(generation.id(), GenerationState::Draining, 0)], now).await?;
        PackageRow::put(&mut tx, &[row]).await?;
        NewCondition::set(&mut tx, &[not_ready], now).await?;
        EventRow::append(&mut tx, subject, EventKind::Retired, message, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    pub(crate) async fn unloaded(
        &self,
        generation: &Generation,
        result: UnloadResult,
        gone: bool,
        now: i64,
    ) -> Result<(), Error> {
        let subject = Subject::Package(generation.package());
        let mut tx = self.store.begin().await?;
        GenerationRow::set_unloaded(&mut tx, generation.id(), &result.to_string(), now).await?;
        if gone {
            ConditionRow::clear(&mut tx, subject).await?;
        }
        let message = format!("{} unloaded: {result}", generation.artifact().manifest().package.version);
        EventRow::append(&mut tx, subject, EventKind::Unloaded, &message, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// Records the signatures of a digest, which was signed again.
    pub(crate) async fn signed(&self, digest: &Digest, signatures: &[Signature]) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        ArtifactRow::set_signatures(&mut tx, digest, &Signature::armored_all(signatures)).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// Records a result of the trust policy for a loaded package, in words.
    pub(crate) async fn judged(&self, name: &PackageName, admission: &str, now: i64) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        EventRow::append(&mut tx, Subject::Package(name), EventKind::Signatures, admission, now).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// Clears the conditions of subjects as they are recorded.
    pub(crate) async fn clear(&self, subjects: &[String]) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        ConditionRow::clear_recorded(&mut tx, subjects).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// Clears the conditions of files that are gone, or are packages now.
    pub(crate) async fn clear_files(&self, paths: &[PathBuf]) -> Result<(), Error> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        for path in paths {
            ConditionRow::clear(&mut tx, Subject::File(path)).await?;
        }
        Ok(self.store.commit(tx).await?)
    }
}

/// A command took a digest in; no host has opened it yet.
pub(crate) async fn taken_in(store: &Store, artifact: &VerifiedArtifact, now: i64) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    insert_artifacts(&mut tx, [artifact], now).await?;
    ArtifactRow::renew(&mut tx, artifact.digest(), now).await?;
    if let Some(admission) = artifact.admission().text() {
        let subject = Subject::Package(&artifact.manifest().package.name);
        EventRow::append(&mut tx, subject, EventKind::Signatures, &admission, now).await?;
    }
    Ok(store.commit(tx).await?)
}

/// The row of a package that is to be gone.
fn removed_row(generation: &Generation, actor: &str, reason: &str, now: i64) -> PackageRow {
    PackageRow {
        name: generation.package().clone(),
        version: generation.artifact().manifest().package.version.clone(),
        digest: generation.digest().clone(),
        source: String::new(),
        state: PackageState::Removed,
        actor: actor.to_owned(),
        reason: reason.to_owned(),
        updated_at: now,
    }
}

fn not_ready<'g>(generation: &'g Generation, actor: &str, reason: &str) -> NewCondition<'g> {
    NewCondition {
        subject: Subject::Package(generation.package()),
        kind: ConditionKind::Ready,
        status: ConditionStatus::False,
        reason: "Removed",
        message: format!("removed by {actor}: {reason}"),
        digest: generation.digest().as_str(),
    }
}

/// The recorded source of a package: its file, its registry, or nothing when it comes from the artifact cache.
fn source_of(package: &Desired) -> String {
    match &package.origin {
        Origin::Cache => String::new(),
        origin => origin.to_string(),
    }
}

fn text_of(digest: Option<&Digest>) -> &str {
    digest.map_or("", Digest::as_str)
}

async fn insert_artifacts<'a>(
    tx: &mut Tx,
    artifacts: impl IntoIterator<Item = &'a VerifiedArtifact>,
    now: i64,
) -> Result<(), Error> {
    let texts = |artifact: &'a VerifiedArtifact| {
        (artifact, artifact.manifest().to_toml(), Signature::armored_all(artifact.signatures()))
    };
    let artifacts: Vec<_> = artifacts.into_iter().map(texts).collect();
    let rows: Vec<NewArtifact<'_>> = artifacts
        .iter()
        .map(|(artifact, manifest, signatures)| artifact_row(artifact, manifest, signatures))
        .collect();
    Ok(NewArtifact::insert(tx, &rows, now).await?)
}

fn artifact_row<'a>(
    artifact: &'a VerifiedArtifact,
    manifest: &'a str,
    signatures: &'a str,
) -> NewArtifact<'a> {
    let package = &artifact.manifest().package;
    NewArtifact {
        digest: artifact.digest(),
        name: &package.name,
        version: &package.version,
        target: artifact.target(),
        bytes: i64::try_from(artifact.bytes()).unwrap_or(i64::MAX),
        library: artifact.library_name(),
        library_sha256: artifact.sha256(),
        manifest,
        signatures,
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
    fn add(&mut self, registered: &'a Registered, message: &'a str, now: i64) {
        let Registered { package, generation, replaced, warnings, actor, ran_before, .. } = registered;
        let (subject, digest) = (Subject::Package(&package.name), generation.digest().as_str());
        self.states.push((generation.id(), GenerationState::Active, last_number().into()));
        self.states.extend(replaced.iter().map(|old| (old.id(), GenerationState::Draining, 0)));
        self.packages.push(PackageRow {
            name: package.name.clone(),
            version: package.version.clone(),
            digest: generation.digest().clone(),
            source: source_of(package),
            state: PackageState::Desired,
            actor: actor.clone(),
            reason: package.reason(),
            updated_at: now,
        });
        if let Some(old) = replaced.as_ref().filter(|old| *old.package() != package.name) {
            let reason = format!("its file has `{}` now", package.name);
            self.packages.push(removed_row(old, "directory", &reason, now));
            self.conditions.push(not_ready(old, "directory", &reason));
        }
        let mut condition = |kind, status, reason, message| {
            self.conditions.push(NewCondition { subject, kind, status, reason, message, digest });
        };
        for kind in [ConditionKind::Accepted, ConditionKind::Loaded, ConditionKind::Ready] {
            condition(kind, ConditionStatus::True, "Ok", message.to_owned());
        }
        let rolled_back = package.overridden_by.as_ref().filter(|row| row.kind == OverrideKind::RollBack);
        let (degraded, reason, text) = match rolled_back {
            // Another version was wanted, and is not what runs.
            Some(row) => (ConditionStatus::True, ROLLED_BACK, rolled_back_text(row)),
            None => match warnings.first() {
                None => (ConditionStatus::False, "Ok", String::new()),
                Some(first) => (ConditionStatus::True, first.code(), told(warnings)),
            },
        };
        condition(ConditionKind::Degraded, degraded, reason, text);
        condition(ConditionKind::Quarantined, ConditionStatus::False, "Ok", String::new());
        if !ran_before {
            condition(ConditionKind::Unresolved, ConditionStatus::False, "Ok", String::new());
            self.events.push(NewEvent { subject, kind: EventKind::Loaded, message });
            if let Some(admission) = &registered.admission {
                self.events.push(NewEvent { subject, kind: EventKind::Signatures, message: admission });
            }
        }
    }
}

fn told(warnings: &[Warning]) -> String {
    warnings
        .iter()
        .map(|warning| format!("{warning}. {}", capitalised(warning.fix())))
        .collect::<Vec<_>>()
        .join("; ")
}

fn rolled_back_text(row: &Override) -> String {
    let reason = format!("by {}: {}", row.actor, row.reason);
    with_fix(&Error::RolledBack { reason })
}

/// The fault and the fix.
fn with_fix(error: &Error) -> String {
    format!("{}. {}", error.full(), capitalised(&error.fix()))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
