//! Builds that somebody made before: found by the content hash of the crate, taken when they are signed by somebody who may.

use super::built::{Built, place_of};
use super::settings::Prebuilt;
use crate::build_error::BuildError;
use crate::error::coded;
use crate::registry::{downloads, put_fetched, tidy};
use crate::stdio::errln;
use cargo_metadata::Package;
use longshore_engine::Clock;
use longshore_engine::clock::System;
use longshore_package::trust::{SignatureStatus, Signers};
use longshore_package::{Archive, ArchiveLimits, Digest, PackageName};
use longshore_registry::{Release, fetch_release, open};
use std::path::Path;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// The build of a crate that the registry has for its content hash and target, in a folder. None, after it was said why, when it
/// has to be built.
pub(super) fn take(
    prebuilt: &Prebuilt,
    package: &Package,
    content: anyhow::Result<(Digest, String)>,
    folder: &Path,
) -> Option<Built> {
    let name = PackageName::from(package.name.as_str());
    let url = &prebuilt.url;
    let taken = content.and_then(|(content, target)| {
        let taken = try_take(prebuilt, &name, (&content, &target), folder);
        Ok((block_in_place(|| Handle::current().block_on(taken))?, content, target))
    });
    match taken {
        Ok((Some(built), content, _)) => {
            errln!("prebuilt: {name} {} is taken from {url} ({})", built.version, content.short());
            Some(built)
        }
        Ok((None, content, target)) => {
            errln!(
                "prebuilt: {url} has no build of {name} for {} ({target}); it is built here",
                content.short()
            );
            None
        }
        Err(error) => {
            let mut causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            if let Some((code, _)) = coded(&error) {
                causes.insert(0, code);
            }
            errln!("prebuilt: nothing is taken from {url}, and {name} is built here: {}", causes.join(": "));
            None
        }
    }
}

async fn try_take(
    prebuilt: &Prebuilt,
    name: &PackageName,
    (content, target): (&Digest, &str),
    folder: &Path,
) -> anyhow::Result<Option<Built>> {
    let signers = Signers::read(&prebuilt.keys, &[] as &[&Path])?;
    let registry = open(&prebuilt.url).await?;
    let Some(release) = registry.prebuilt(name, content).await? else { return Ok(None) };
    // Before anything is downloaded: the digest that is signed is the digest that arrives.
    check_signed(&release, &signers, prebuilt)?;
    let downloads = downloads(Path::new(".longshore"));
    let fetched = fetch_release(&*registry, name, &release, Some(target), &downloads).await?;
    // The signature is over a digest, and the digest over the manifest: that is where it says what it was built from.
    let archive = Archive::open(&fetched.path, ArchiveLimits::default())?;
    if archive.manifest().package.content.as_ref() != Some(content) {
        return Err(BuildError::OfOther { content: content.clone() }.into());
    }
    let version = release.version.to_string();
    let file = place_of(folder, name, &version);
    put_fetched(&fetched.path, &file, &release)?;
    tidy(&downloads);
    let (digest, bytes) = (release.digest, release.bytes);
    Ok(Some(Built { file, name: name.clone(), version, digest, bytes }))
}

fn check_signed(release: &Release, signers: &Signers, prebuilt: &Prebuilt) -> anyhow::Result<()> {
    let (now, keys) = (System.now_ms(), prebuilt.keys.clone());
    let signatures = release.parsed_signatures()?;
    let is_good = |status: &SignatureStatus| matches!(status, SignatureStatus::Valid { .. });
    let signed =
        signatures.iter().any(|signature| is_good(&signers.judge(signature, &release.digest, now).status));
    if signed { Ok(()) } else { Err(BuildError::Unsigned { keys }.into()) }
}
