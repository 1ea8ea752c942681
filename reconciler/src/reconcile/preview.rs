//! The preview of a pass: its plan, and what would break, without doing it.

use crate::artifact::verify::verify;
use crate::blocking::blocking;
use crate::error::Error;
use crate::plan::model::{Action, Deferred, Desired, Drain, Observed, Origin, Plan, PlanInput};
use crate::plan::plan;
use crate::reconcile::observe::{followed_releases, pass_inputs};
use crate::reconcile::options::Options;
use crate::reconcile::prepare::{cached, check_downgrade, with_recorded};
use crate::source::events::FileEvents;
use crate::source::offers::Offers;
use longshore_package::{Change, Digest, StaticRecord, diff};
use longshore_store::{GenerationRow, GenerationState, PackageRow, PassInputs, Store};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Scans while files are being written; a file that takes longer is shown as not there.
const SCAN_ATTEMPTS: usize = 25;

/// The pause between two scans.
const SCAN_PAUSE: Duration = Duration::from_millis(200);

/// One action, with what it changes.
#[derive(Debug)]
pub struct Step {
    /// The action.
    pub action: Action,
    /// Changes from the digest that is replaced; none when none is, or it is not in the artifact cache.
    pub changes: Option<Vec<Change>>,
    /// Unfinished runs that are pinned to the digest that is replaced or goes.
    pub pinned_runs: u64,
    /// The refusal, as far as it shows without running the package.
    pub refused: Option<Error>,
}

/// The preview of a pass.
#[derive(Debug, Default)]
pub struct Preview {
    /// In the order of the pass.
    pub steps: Vec<Step>,
    /// Differences that the pass would leave.
    pub deferred: Vec<Deferred>,
    /// Files that are not packages.
    pub broken: Vec<(PathBuf, Error)>,
    /// Generations that the database records as open.
    pub open: Vec<Observed>,
}

/// Plans a pass over the directories, the overrides, and the generations that the host of this database has open.
///
/// # Errors
/// [`Error::Store`].
pub async fn preview(options: &Options, store: &Store) -> Result<Preview, Error> {
    let events = FileEvents::watch(&[], Arc::default());
    let own_folders = [options.cache.clone()];
    let mut offers = Offers::new(options.directories.clone(), &own_folders, options.verify.clone(), events);
    let mut changes = offers.scan().await;
    for _ in 0..SCAN_ATTEMPTS {
        if !changes.unsettled {
            break;
        }
        tokio::time::sleep(SCAN_PAUSE).await;
        let more = offers.scan().await;
        changes.unsettled = more.unsettled;
        changes.refused.extend(more.refused);
    }
    let now = options.clock.now_ms();
    let PassInputs { pins, overrides, followed, .. } = pass_inputs(store).await?;
    let open = open_generations(store, &pins, now).await?;
    let overrides: Vec<_> = overrides.into_iter().map(Arc::new).collect();
    let mut offered = offers.offered(|package| open.iter().any(|o| o.active && o.digest == package.digest));
    offered.extend(followed_releases(&followed));
    let input = PlanInput {
        offered: &offered,
        overrides: &overrides,
        observed: &open,
        pins: &pins,
        failures: &BTreeMap::new(),
        drain: options.drain,
    };
    let Plan { actions, deferred, .. } = plan(input, now);
    let mut steps = Vec::with_capacity(actions.len());
    for action in actions {
        steps.push(step(action, options, store, &pins).await?);
    }
    Ok(Preview { steps, deferred, broken: changes.refused, open })
}

async fn open_generations(
    store: &Store,
    pins: &BTreeMap<Digest, u64>,
    now: i64,
) -> Result<Vec<Observed>, Error> {
    let rows = GenerationRow::newest(store, None, GenerationRow::SCAN_LIMIT).await?;
    let files = PackageRow::all(store).await?.into_iter().filter(|row| !row.source.is_empty());
    let files: HashMap<Digest, PathBuf> = files.map(|row| (row.digest, row.source.into())).collect();
    let open = rows.into_iter().filter_map(|row| {
        let active = match row.state {
            GenerationState::Active => true,
            GenerationState::Draining => false,
            GenerationState::Loading | GenerationState::Unloaded | GenerationState::Lost => return None,
        };
        let GenerationRow { package: name, digest, .. } = row;
        let pinned_runs = pins.get(&digest).copied().unwrap_or(0);
        let drain = Drain { since: now, cancelled_at: None };
        let source = files.get(&digest).cloned();
        Some(Observed { name, digest, source, active, pinned_runs, drain })
    });
    Ok(open.collect())
}

async fn step(
    action: Action,
    options: &Options,
    store: &Store,
    pins: &BTreeMap<Digest, u64>,
) -> Result<Step, Error> {
    let (package, replaces) = match &action {
        Action::Load { package, replaces } => (Some(Arc::clone(package)), replaces.clone()),
        Action::Restore { digest, .. }
        | Action::Retire { digest, .. }
        | Action::Cancel { digest, .. }
        | Action::ForceUnload { digest, .. }
        | Action::Unload { digest, .. } => (None, Some(digest.clone())),
    };
    let pinned_runs = replaces.as_ref().and_then(|digest| pins.get(digest)).copied().unwrap_or(0);
    let mut step = Step { action, changes: None, pinned_runs, refused: None };
    let Some(package) = package else { return Ok(step) };
    match record_of(&package, options, store).await {
        Ok(new) => {
            match check_downgrade(&package, &new, &options.verify, store).await {
                Err(Error::Store(error)) => return Err(Error::Store(error)),
                checked => step.refused = checked.err(),
            }
            if let Some(old) = replaces {
                step.changes = match cached(&old, store, &options.cache, &options.verify).await {
                    Ok(old) => Some(diff(old.record(), &new)),
                    Err(Error::Store(error)) => return Err(Error::Store(error)),
                    Err(_) => None,
                };
            }
        }
        Err(Error::Store(error)) => return Err(Error::Store(error)),
        Err(error) => step.refused = Some(error),
    }
    Ok(step)
}

async fn record_of(package: &Desired, options: &Options, store: &Store) -> Result<StaticRecord, Error> {
    match &package.origin {
        Origin::File(path) => {
            let verify_options = with_recorded(&options.verify, &package.digest, store).await?;
            let path = path.clone();
            blocking(move || Ok(verify(&path, &verify_options)?.record)).await
        }
        Origin::Cache | Origin::Registry(_) => {
            let artifact = cached(&package.digest, store, &options.cache, &options.verify).await?;
            Ok(artifact.record().clone())
        }
    }
}
