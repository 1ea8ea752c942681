//! What a pass would do, and what would break, without doing it.

use crate::artifact::{VerifiedArtifact, accept};
use crate::error::Error;
use crate::files::Files;
use crate::loader::{blocking, copy_of};
use crate::plan::{Action, Drain, Failure, Kept, Observed, Plan, Sight, pins_by_digest, plan};
use crate::reconciler::{Options, now_ms};
use crate::records::taken_in;
use crate::wanted::{Desired, Origin};
use crate::watch::FileEvents;
use longshore_package::{Change, Digest, StaticRecord, diff};
use longshore_store::{GenerationRow, GenerationState, Outlook, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Looks at files that are being written, and the pause between them: what takes longer is shown as not there.
const LOOKS: usize = 25;
/// See [`LOOKS`].
const PAUSE: Duration = Duration::from_millis(200);

/// One action, with what it changes.
#[derive(Debug)]
pub struct Step {
    /// What would be done.
    pub action: Action,
    /// What differs from the digest that is replaced; none when none is, or its copy is gone.
    pub changes: Option<Vec<Change>>,
    /// Unfinished runs that are pinned to the digest that is replaced or goes.
    pub pinned_runs: u64,
    /// Why it would be refused, as far as that shows without running the package.
    pub refused: Option<Error>,
}

/// What a pass would do.
#[derive(Debug, Default)]
pub struct Preview {
    /// In the order of a pass.
    pub steps: Vec<Step>,
    /// What would be left as it is although it is not as it should be.
    pub kept: Vec<Kept>,
    /// Files that are no packages.
    pub broken: Vec<(PathBuf, Error)>,
    /// What the database records as open.
    pub open: Vec<Observed>,
}

/// Looks at the directories, the decisions and what the host of this database has open, and plans.
///
/// # Errors
/// [`Error::Store`].
pub async fn preview(options: &Options, store: &Store) -> Result<Preview, Error> {
    let events = FileEvents::watch(&[], Arc::default());
    let mut files = Files::new(options.directories.clone(), options.checks.clone(), events);
    let mut news = files.look().await;
    for _ in 0..LOOKS {
        if !news.unsettled {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        let more = files.look().await;
        news.unsettled = more.unsettled;
        news.refused.extend(more.refused);
    }
    let outlook = Outlook::load(store).await?;
    let pins = pins_by_digest(&outlook.pins);
    let open = open_generations(store, &pins).await?;
    let registry: Vec<_> = outlook.registry.into_iter().map(Arc::new).collect();
    let failures: BTreeMap<Digest, Failure> = BTreeMap::new();
    let desired = files.offered(|package| open.iter().any(|o| o.active && o.digest == package.digest));
    let sight = Sight {
        desired: &desired,
        registry: &registry,
        observed: &open,
        pins: &pins,
        failures: &failures,
        drain: options.drain,
    };
    let Plan { actions, kept } = plan(sight, now_ms());
    let mut steps = Vec::with_capacity(actions.len());
    for action in actions {
        steps.push(step(action, options, store, &pins).await?);
    }
    Ok(Preview { steps, kept, broken: news.refused, open })
}

async fn open_generations(store: &Store, pins: &BTreeMap<Digest, u64>) -> Result<Vec<Observed>, Error> {
    let rows = GenerationRow::newest(store, "", GenerationRow::MANY).await?;
    let open = rows.into_iter().filter_map(|row| {
        let active = match row.state {
            GenerationState::Active => true,
            GenerationState::Draining => false,
            _ => return None,
        };
        let digest = Digest::parse(&row.digest)?;
        let pinned_runs = pins.get(&digest).copied().unwrap_or(0);
        let drain = Drain { since: now_ms(), cancelled_at: None };
        Some(Observed { name: row.package, digest, active, pinned_runs, drain })
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
        | Action::Orphan { digest, .. }
        | Action::Unload { digest, .. } => (None, Some(digest.clone())),
    };
    let pinned_runs = replaces.as_ref().and_then(|digest| pins.get(digest)).copied().unwrap_or(0);
    let mut step = Step { action, changes: None, pinned_runs, refused: None };
    if let Some(package) = package {
        match record_of(&package, options, store).await {
            Ok(new) => {
                if let Some(old) = replaces {
                    step.changes = match copy_of(&old, store, &options.cache, &options.checks).await {
                        Ok(old) => Some(diff(old.record(), &new)),
                        Err(Error::Store(error)) => return Err(Error::Store(error)),
                        Err(_) => None,
                    };
                }
            }
            Err(Error::Store(error)) => return Err(Error::Store(error)),
            Err(error) => step.refused = Some(error),
        }
    }
    Ok(step)
}

async fn record_of(package: &Desired, options: &Options, store: &Store) -> Result<StaticRecord, Error> {
    match &package.origin {
        Origin::File(path) => {
            let (path, checks) = (path.clone(), options.checks.clone());
            blocking(move || Ok(accept(&path, &checks)?.record)).await
        }
        Origin::Copy => {
            let copy = copy_of(&package.digest, store, &options.cache, &options.checks).await?;
            Ok(copy.record().clone())
        }
    }
}

/// Checks a file as a host would before it runs a line of it, and keeps a private copy, so that the digest can be
/// decided for.
///
/// # Errors
/// What is wrong with the package, [`Error::Copy`], [`Error::Store`].
pub async fn take_in(path: &Path, options: &Options, store: &Store) -> Result<VerifiedArtifact, Error> {
    let (path, checks, cache) = (path.to_owned(), options.checks.clone(), options.cache.clone());
    let artifact = blocking(move || accept(&path, &checks)?.store(&cache)).await?;
    taken_in(store, &artifact, now_ms()).await?;
    Ok(artifact)
}
