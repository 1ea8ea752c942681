//! `longshore packages list`.

use crate::home::Home;
use crate::output::{ExitStatus, Printer, path, table, time};
use crate::view::packages::state_of;
use crate::view::plan::short;
use longshore_reconciler::RUN_ACTOR;
use longshore_reconciler::readiness::is_problem;
use longshore_store::{
    ConditionRow, GenerationRow, GenerationState, Override, PackageRow, PassInputs, Store, Subject,
};
use serde::Serialize;
use std::fmt::Write;

/// Refused files that are shown.
const SHOWN: usize = 20;

/// All packages with their conditions, generations and overrides.
#[derive(Serialize)]
pub(crate) struct PackageList {
    pub(crate) packages: Vec<PackageRow>,
    conditions: Vec<ConditionRow>,
    generations: Vec<GenerationRow>,
    overrides: Vec<Override>,
}

impl PackageList {
    pub(crate) async fn load(store: &Store) -> anyhow::Result<Self> {
        Ok(Self {
            packages: PackageRow::all(store).await?,
            conditions: ConditionRow::all(store).await?,
            generations: GenerationRow::newest(store, None, GenerationRow::SCAN_LIMIT).await?,
            overrides: PassInputs::load(store).await?.overrides,
        })
    }

    /// The number of packages that were not only run.
    pub(crate) fn served(&self) -> usize {
        self.packages.iter().filter(|package| !is_only_run(self, package)).count()
    }
}

pub(super) async fn run(home: &Home, all: bool, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let list = PackageList::load(&home.open_read_only().await?).await?;
    printer.print(&list, || text(&list, all))?;
    Ok(ExitStatus::Done)
}

/// All packages, or those that were not only run.
pub(crate) fn text(list: &PackageList, all: bool) -> String {
    let is_shown = |package: &PackageRow| all || !is_only_run(list, package);
    let hidden = list.packages.iter().filter(|package| !is_shown(package)).count();
    let rows = rows(list, is_shown);
    let mut out = if rows.is_empty() {
        "no packages\n".to_owned()
    } else {
        table(&["PACKAGE", "VERSION", "DIGEST", "STATE", "SINCE", "SOURCE"], rows)
    };
    let of_package =
        |c: &&ConditionRow| list.packages.iter().any(|p| c.subject == Subject::Package(&p.name).to_string());
    let refused: Vec<_> = list.conditions.iter().filter(|c| is_problem(c) && !of_package(c)).collect();
    for condition in refused.iter().take(SHOWN) {
        let subject = condition.subject.split_once('/').map_or(condition.subject.as_str(), |(_, name)| name);
        let subject = path(subject);
        // Writing to a String does not fail.
        let _ = writeln!(out, "\nrefused: {subject}\n  {} {}", condition.reason, condition.message);
    }
    if hidden > 0 {
        let _ = writeln!(out, "\n{hidden} that were only run are not shown: `longshore packages list --all`");
    }
    if refused.len() > SHOWN {
        let _ = writeln!(out, "\nrefused: {} more; --json has all", refused.len() - SHOWN);
    }
    out
}

/// True of a package that no host has served, and nobody has decided about.
fn is_only_run(list: &PackageList, package: &PackageRow) -> bool {
    package.actor == RUN_ACTOR && list.overrides.iter().all(|row| row.name != package.name)
}

/// A line for each package, and below it its override and its problems.
fn rows(list: &PackageList, is_shown: impl Fn(&PackageRow) -> bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for package in list.packages.iter().filter(|package| is_shown(package)) {
        let subject = Subject::Package(&package.name).to_string();
        let source =
            if package.source.is_empty() { "artifact cache".to_owned() } else { path(&package.source) };
        rows.push(vec![
            package.name.to_string(),
            package.version.clone(),
            short(Some(&package.digest)),
            state_of(&list.generations, &package.name).map_or("-", GenerationState::as_str).to_owned(),
            time(package.updated_at),
            source,
        ]);
        for row in list.overrides.iter().filter(|row| row.name == package.name) {
            rows.push(override_row(row, String::new(), String::new()));
        }
        for condition in list.conditions.iter().filter(|c| c.subject == subject && is_problem(c)) {
            let (reason, message) = (condition.reason.clone(), condition.message.clone());
            let empty = String::new;
            rows.push(vec![empty(), empty(), empty(), reason, empty(), message]);
        }
    }
    // Packages that an override asks for and no host has loaded yet.
    for row in list.overrides.iter().filter(|row| list.packages.iter().all(|p| p.name != row.name)) {
        rows.push(override_row(row, row.name.to_string(), short(row.digest.as_ref())));
    }
    rows
}

fn override_row(row: &Override, name: String, digest: String) -> Vec<String> {
    let by = format!("by {}: {}", row.actor, row.reason);
    let state = row.kind.participle().to_owned();
    vec![name, row.version.clone(), digest, state, time(row.updated_at), by]
}
