//! The registry that a command speaks to.

use crate::build_error::BuildError;
use crate::home::Home;
use crate::replace::replace;
use longshore_package::trust::Signature;
use longshore_package::{Error as PackageError, PackageName};
use longshore_reconciler::OWN_DATABASE;
use longshore_reconciler::artifact::signature_file;
use longshore_registry::{
    CHANNELS, Downloads, Error, Registry, Release, Requirement, Want, is_channel_name, open,
};
use semver::Version;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of archives that are kept for the next time.
const MAX_CACHE: u64 = 4 << 30;

/// Registry of a command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RegistryArgs {
    /// Address of the registry: a folder, a bundle, https://.., s3://BUCKET/.., oci://HOST/.., sqlite:FILE, postgres://.., or
    /// `database` for that of the home; LONGSHORE_REGISTRY says another default
    #[arg(long, value_name = "ADDRESS")]
    registry: Option<String>,
}

impl RegistryArgs {
    /// The address, as it was named.
    pub(crate) fn address(&self) -> Result<String, BuildError> {
        let named = || std::env::var("LONGSHORE_REGISTRY").ok().filter(|value| !value.is_empty());
        self.registry.clone().or_else(named).ok_or(BuildError::NoRegistry)
    }

    pub(crate) async fn open(&self, home: &Home) -> anyhow::Result<Arc<dyn Registry>> {
        open_at(&self.address()?, home).await
    }
}

/// Opens the registry at an address; the home's database, which is made when it is not there, at `database`.
pub(crate) async fn open_at(address: &str, home: &Home) -> anyhow::Result<Arc<dyn Registry>> {
    if address != OWN_DATABASE {
        return Ok(open(address).await?);
    }
    home.open_or_make().await?.close().await;
    Ok(open(&home.host_options().database).await?)
}

/// The archives that commands fetched, within a limit: in the user's cache, or in the home where there is none.
pub(crate) fn downloads(home: &Path) -> Downloads {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    Downloads::new(cache.map_or_else(|| home.join("fetched"), |cache| cache.join("longshore/packages")))
}

/// Removes what was fetched longest ago, when it is too much.
pub(crate) fn tidy(downloads: &Downloads) {
    if let Err(error) = downloads.keep_within(MAX_CACHE) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the cache of packages was not tidied");
    }
}

/// A channel, as clap reads it.
pub(crate) fn channel(text: &str) -> Result<String, String> {
    if is_channel_name(text) { Ok(text.to_owned()) } else { Err(format!("a channel is {CHANNELS}")) }
}

/// The package and the version of `NAME@VERSION`.
pub(crate) fn release(text: &str) -> Result<(PackageName, Version), Error> {
    let requirement: Requirement = text.parse()?;
    match requirement.want {
        Want::Version(version) => Ok((requirement.name, version)),
        _ => {
            let message = "it names no single version, as in NAME@1.2.0".to_owned();
            Err(Error::Requirement { text: text.to_owned(), message })
        }
    }
}

/// Puts an archive in place, and beside it the signatures that are not inside it.
pub(crate) fn put_fetched(fetched: &Path, file: &Path, release: &Release) -> anyhow::Result<()> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PackageError::Write { path, source }
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    // The signatures first: whoever watches the folder finds the package with them.
    let beside = release.signatures_beside(fetched)?;
    if !beside.is_empty() {
        replace(&signature_file(file), Signature::armored_all(&beside).as_bytes())?;
    }
    let new = tempfile::Builder::new().prefix(".").tempfile_in(folder).map_err(failed(file))?;
    std::fs::copy(fetched, new.path()).map_err(failed(file))?;
    new.as_file().sync_all().map_err(failed(file))?;
    new.persist(file).map_err(|error| failed(file)(error.error))?;
    Ok(())
}
