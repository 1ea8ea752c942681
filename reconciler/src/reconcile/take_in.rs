//! A file that an override asks for: verified, and stored in the artifact cache.

use crate::artifact::cache::VerifiedArtifact;
use crate::artifact::read::identify;
use crate::artifact::verify::verify;
use crate::blocking::blocking;
use crate::error::Error;
use crate::reconcile::journal::taken_in;
use crate::reconcile::options::Options;
use crate::reconcile::prepare::with_recorded;
use longshore_store::Store;
use std::path::Path;

/// Checks a file as a host would before it runs a line of it, and stores it in the artifact cache, so that an override
/// can ask for its digest.
///
/// # Errors
/// The refusal of the package, [`Error::CacheWrite`], [`Error::Store`].
pub async fn take_in(path: &Path, options: &Options, store: &Store) -> Result<VerifiedArtifact, Error> {
    let (file, verify_options) = (path.to_owned(), options.verify.clone());
    let (digest, _) = blocking(move || identify(&file, &verify_options)).await?;
    let verify_options = with_recorded(&options.verify, &digest, store).await?;
    let (path, cache) = (path.to_owned(), options.cache.clone());
    let artifact = blocking(move || verify(&path, &verify_options)?.store(&cache)).await?;
    taken_in(store, &artifact, options.clock.now_ms()).await?;
    Ok(artifact)
}
