//! A home: its database, its hosts, its trust policy, its registries.

use super::finding::{Finding, State};
use crate::commands::packages::check::readiness;
use crate::home::Home;
use crate::registry::open_at;
use longshore_package::PackageName;
use longshore_package::trust::TrustPolicy;
use longshore_reconciler::readiness::Problem;
use longshore_store::{FollowedPackage, Store};
use std::collections::BTreeMap;

pub(super) async fn look(home: &Home) -> Vec<Finding> {
    let store = match home.open_read_only().await {
        Ok(store) => store,
        Err(error) => return vec![Finding::fault("database", &error)],
    };
    let mut findings = vec![Finding::ok("database", store.url())];
    let trust = home.trust_file();
    if trust.exists() {
        let policy = TrustPolicy::read(&trust).map_err(anyhow::Error::from);
        findings.push(Finding::of("trust policy", policy, |_| trust.display().to_string()));
    }
    match packages(&store).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::fault("packages", &error)),
    }
    match FollowedPackage::all(&store).await {
        Ok(rows) => findings.extend(registries(home, &rows).await),
        Err(error) => findings.push(Finding::fault("registries", &error.into())),
    }
    findings
}

/// The hosts that run, and the problems of packages.
async fn packages(store: &Store) -> anyhow::Result<Vec<Finding>> {
    let readiness = readiness(store).await?;
    let hosts = match readiness.hosts {
        0 => Finding::warning("host", "none runs on this database", "`longshore serve` starts one"),
        n => Finding::ok("host", format!("{n} running")),
    };
    let mut findings = vec![hosts];
    let lists = [
        (State::Fault, &readiness.missing),
        (State::Warning, &readiness.degraded),
        (State::Warning, &readiness.warnings),
    ];
    for (state, problems) in lists {
        for Problem { subject, code, message } in problems {
            findings.push(Finding { code: code.clone(), ..Finding::new(state, subject, message.as_str()) });
        }
    }
    Ok(findings)
}

/// Each registry that packages are followed in: whether it answers.
async fn registries(home: &Home, rows: &[FollowedPackage]) -> Vec<Finding> {
    let by_address: BTreeMap<&str, &PackageName> =
        rows.iter().map(|row| (row.registry.as_str(), &row.name)).collect();
    let mut findings = Vec::new();
    for (address, name) in by_address {
        let answer = async { Ok(open_at(address, home).await?.index(name).await?) };
        findings.push(Finding::of("registry", answer.await, |_| address.to_owned()));
    }
    findings
}
