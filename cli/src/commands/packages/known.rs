//! Packages and digests that a home knows.

use crate::error::CliError;
use longshore_package::{Digest, PackageName};
use longshore_store::{
    ArtifactRow, ConditionRow, Override, OverrideKind, PackageRow, PackageState, PassInputs, Store, Subject,
    Verdict, VerdictRow,
};
use std::collections::BTreeSet;

/// A package that this home knows, with its digests.
pub(super) struct Known {
    pub(super) name: PackageName,
    pub(super) package: PackageRow,
    /// Digests in the artifact cache, the newest first, and the loaded one.
    artifacts: Vec<ArtifactRow>,
    /// Digests that passed a probe.
    sound: BTreeSet<Digest>,
}

impl Known {
    pub(super) async fn load(store: &Store, name: &PackageName) -> anyhow::Result<Self> {
        let package = find(store, name).await?;
        let mut artifacts = ArtifactRow::of_package(store, name).await?;
        // Evicted digests cannot be gone back to.
        artifacts.retain(|artifact| artifact.library.is_some() || artifact.digest == package.digest);
        let verdicts = VerdictRow::of_package(store, name).await?.into_iter();
        let sound = verdicts.filter(|row| row.verdict == Verdict::Sound).map(|row| row.digest).collect();
        Ok(Self { name: name.clone(), package, artifacts, sound })
    }

    /// The artifact that is desired now.
    pub(super) fn loaded(&self) -> Option<&ArtifactRow> {
        let is_desired = self.package.state == PackageState::Desired;
        self.artifacts.iter().find(|a| is_desired && a.digest == self.package.digest)
    }

    /// The newest artifact before a digest that passed its probe.
    pub(super) fn before(&self, digest: &Digest) -> Option<&ArtifactRow> {
        let earlier = self.artifacts.iter().skip_while(|a| a.digest != *digest).skip(1);
        earlier.into_iter().find(|a| self.sound.contains(&a.digest))
    }

    /// The one artifact of a version, or of the beginning of a digest.
    pub(super) fn named(&self, text: &str) -> anyhow::Result<&ArtifactRow> {
        let matches = |a: &&ArtifactRow| a.version == text || a.digest.as_str().starts_with(text);
        let mut found = self.artifacts.iter().filter(matches);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err(self.no_digest(format!("single digest that `{text}` names")).into()),
            (None, _) => Err(self.no_digest(format!("digest `{text}`")).into()),
        }
    }

    pub(super) fn no_digest(&self, wanted: String) -> CliError {
        let known = |a: &ArtifactRow| format!("{} ({})", a.version, a.digest.short());
        let known = self.artifacts.iter().map(known).collect();
        CliError::NoDigest { name: self.name.to_string(), wanted, known }
    }
}

/// A package that this home knows: a host loaded it, or an override asks for it.
pub(super) async fn find(store: &Store, name: &PackageName) -> anyhow::Result<PackageRow> {
    let mut all = PackageRow::all(store).await?;
    let overrides = PassInputs::load(store).await?.overrides;
    all.extend(overrides.into_iter().filter_map(of_override));
    let known: BTreeSet<String> = all.iter().map(|package| package.name.to_string()).collect();
    let found = all.into_iter().find(|package| package.name == *name);
    found.ok_or_else(|| {
        CliError::NoPackage { name: name.to_string(), known: known.into_iter().collect() }.into()
    })
}

/// Succeeds for a package that this home knows, or that a host has refused and never loaded.
pub(super) async fn require_known_or_refused(store: &Store, name: &PackageName) -> anyhow::Result<()> {
    let subject = Subject::Package(name).to_string();
    if ConditionRow::all(store).await?.iter().any(|condition| condition.subject == subject) {
        return Ok(());
    }
    find(store, name).await.map(drop)
}

/// A package that no host has loaded yet.
fn of_override(row: Override) -> Option<PackageRow> {
    let Override { name, kind, digest, version, actor, reason, updated_at, .. } = row;
    let state = if kind == OverrideKind::Remove { PackageState::Removed } else { PackageState::Desired };
    Some(PackageRow {
        name,
        version,
        digest: digest?,
        source: String::new(),
        state,
        actor,
        reason,
        updated_at,
    })
}
