//! [`Registry`]: what a registry does.

use crate::body::Body;
use crate::error::Error;
use crate::index::{Edit, Index, Release};
use futures_util::future::BoxFuture;
use longshore_package::{Digest, PackageName};
use std::path::Path;

/// The future of an answer.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// A place that packages are published to and fetched from. Answers are bounded in bytes (but for manifests of OCI), and in time
/// where they come over a network.
pub trait Registry: Send + Sync {
    /// The address, without a password.
    fn address(&self) -> &str;

    /// False of one whose address may lead to something else the next time, as a path does: it is opened anew.
    fn stays(&self) -> bool {
        true
    }

    /// The names of all packages, sorted.
    fn names(&self) -> Answer<'_, Vec<PackageName>>;

    /// The index of a package.
    ///
    /// # Errors
    /// [`Error::NoPackage`], and those of the place.
    fn index<'a>(&'a self, name: &'a PackageName) -> Answer<'a, Index>;

    /// The archive of a release, from an offset or, where the place cannot do that, from the beginning.
    fn read<'a>(&'a self, name: &'a PackageName, release: &'a Release, from: u64) -> Answer<'a, Body>;

    /// True when the archive of a release is there, as far as that shows without reading it.
    fn has<'a>(&'a self, name: &'a PackageName, release: &'a Release) -> Answer<'a, bool>;

    /// Brings the archive of a release. Nobody finds it before the release is in the index.
    fn upload<'a>(&'a self, name: &'a PackageName, release: &'a Release, file: &'a Path) -> Answer<'a, ()>;

    /// Applies an edit to the index; twice is as good as once.
    ///
    /// # Errors
    /// [`Error::VersionTaken`], [`Error::Edit`], [`Error::ReadOnly`], and those of the place.
    fn edit<'a>(&'a self, name: &'a PackageName, edit: Edit) -> Answer<'a, Index>;

    /// The build that was published for a content hash of its crate; none when there is none. It is in no index.
    fn prebuilt<'a>(&'a self, name: &'a PackageName, content: &'a Digest) -> Answer<'a, Option<Release>>;

    /// Publishes a build, which was brought before, for a content hash. The first one stays.
    fn put_prebuilt<'a>(
        &'a self,
        name: &'a PackageName,
        content: &'a Digest,
        release: &'a Release,
    ) -> Answer<'a, ()>;
}

/// The address of a registry.
#[derive(Debug, Clone)]
pub struct Location<'a> {
    /// The whole address.
    pub address: &'a str,
    /// Scheme: the text before the first colon; `file` for a plain path.
    pub scheme: &'a str,
    /// Rest of the address; all of a plain path.
    pub rest: &'a str,
}

impl Location<'_> {
    /// The error of an address that does not read. A password in it is not repeated.
    pub fn bad(&self, message: String) -> Error {
        let address = match self.rest.rsplit_once('@') {
            Some((_, place)) => format!("{}://..@{place}", self.scheme),
            // A password may stand in the query of a database.
            None => self.address.split('?').next().unwrap_or_default().to_owned(),
        };
        Error::Address { address, message, known: Vec::new() }
    }
}
