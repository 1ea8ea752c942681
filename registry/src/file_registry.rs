//! A registry of files: `index/NAME.json` for each package, `packages/NAME/SHA256.longshore` for each archive, and `names.json`.
//! The same layout in a folder, an object store, a bundle, a database, and behind any server of files.

use crate::body::Body;
use crate::error::Error;
use crate::index::{Edit, Index, MAX_INDEX, MAX_RELEASE, Release};
use crate::registry::{Answer, Registry};
use backon::{BackoffBuilder, ExponentialBuilder};
use longshore_package::{Digest, PackageName, is_package_name};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// The list of all names.
const NAMES: &str = "names.json";

/// Times that an index is read and written again because somebody else was faster.
const ATTEMPTS: usize = 10;

/// A small file as it was read.
pub(crate) struct Document {
    /// None of a file that is larger than was asked for.
    pub(crate) bytes: Option<Vec<u8>>,
    /// Revision, which changes with the content: a hash, an entity tag or a counter.
    pub(crate) revision: String,
}

impl Document {
    pub(crate) fn whole(bytes: Vec<u8>, revision: String) -> Self {
        Self { bytes: Some(bytes), revision }
    }

    pub(crate) fn too_large() -> Self {
        Self { bytes: None, revision: String::new() }
    }
}

/// A place for files. Paths have `/` between their parts.
pub(crate) trait Files: Send + Sync + 'static {
    /// The address of the place.
    fn address(&self) -> &str;

    /// False of a place whose address may lead to something else the next time.
    fn stays(&self) -> bool {
        true
    }

    /// A file of at most so many bytes, whose bytes are left out when it is larger; none when it is not there.
    fn load<'a>(&'a self, path: &'a str, limit: u64) -> Answer<'a, Option<Document>>;

    /// Writes a file if it is still what it was before, or still not there. False when it is not.
    fn store<'a>(&'a self, path: &'a str, bytes: Vec<u8>, before: Option<&'a str>) -> Answer<'a, bool>;

    /// The size of a file; none when it is not there.
    fn size<'a>(&'a self, path: &'a str) -> Answer<'a, Option<u64>>;

    /// A file from an offset, or from its beginning.
    fn read<'a>(&'a self, path: &'a str, from: u64) -> Answer<'a, Body>;

    /// Brings a file, whole or not at all.
    fn upload<'a>(&'a self, path: &'a str, file: &'a Path) -> Answer<'a, ()>;
}

/// The registry in a place for files.
pub(crate) struct FileRegistry<F>(pub(crate) F);

fn index_path(name: &PackageName) -> String {
    format!("index/{name}.json")
}

fn archive_path(name: &PackageName, release: &Release) -> String {
    format!("packages/{name}/{}.longshore", release.sha256)
}

fn prebuilt_path(name: &PackageName, content: &Digest) -> String {
    format!("prebuilt/{name}/{content}.json")
}

impl<F: Files> FileRegistry<F> {
    async fn load_index(&self, name: &PackageName) -> Result<Option<(Index, String)>, Error> {
        let address = self.0.address();
        // It becomes part of a path.
        if !is_package_name(name.as_str()) {
            return Err(Error::NoPackage { registry: address.to_owned(), name: name.clone() });
        }
        match self.0.load(&index_path(name), MAX_INDEX).await? {
            Some(Document { bytes, revision }) => {
                let bytes = bytes.ok_or_else(|| too_large(name, address, MAX_INDEX))?;
                Ok(Some((Index::parse(&bytes, name, address)?, revision)))
            }
            None => Ok(None),
        }
    }

    async fn load_names(&self) -> Result<(BTreeSet<PackageName>, Option<String>), Error> {
        let Some(document) = self.0.load(NAMES, MAX_INDEX).await? else { return Ok(Default::default()) };
        let address = self.0.address();
        let bytes = document.bytes.ok_or_else(|| too_large(&NAMES.into(), address, MAX_INDEX))?;
        let names: BTreeSet<PackageName> = serde_json::from_slice(&bytes).map_err(|error| {
            let (registry, name) = (address.to_owned(), PackageName::from(NAMES));
            Error::Index { registry, name, message: error.to_string() }
        })?;
        Ok((
            names.into_iter().filter(|name| is_package_name(name.as_str())).collect(),
            Some(document.revision),
        ))
    }

    /// Applies the edit once; none when the index changed in between.
    async fn try_edit(&self, name: &PackageName, edit: Edit) -> Result<Option<Index>, Error> {
        let (index, revision) = self.load_index(name).await?.unzip();
        let mut index = Index::to_edit(index, name, &edit, self.0.address())?;
        let changed = index.apply(edit)?;
        let stored =
            !changed || self.0.store(&index_path(name), index.to_bytes(), revision.as_deref()).await?;
        Ok(stored.then_some(index))
    }

    /// Adds a name to the list; false when the list changed in between.
    async fn try_list(&self, name: &PackageName) -> Result<bool, Error> {
        let (mut names, revision) = self.load_names().await?;
        if !names.insert(name.clone()) {
            return Ok(true);
        }
        let bytes = serde_json::to_vec(&names).unwrap_or_default();
        self.0.store(NAMES, bytes, revision.as_deref()).await
    }
}

fn too_large(name: &PackageName, registry: &str, limit: u64) -> Error {
    let (registry, message) = (registry.to_owned(), format!("it has more than {limit} bytes"));
    Error::Index { registry, name: name.clone(), message }
}

fn pauses() -> impl Iterator<Item = Duration> {
    let builder = ExponentialBuilder::default().with_min_delay(Duration::from_millis(20)).with_jitter();
    builder.with_max_delay(Duration::from_secs(1)).with_max_times(ATTEMPTS).build()
}

impl<F: Files> Registry for FileRegistry<F> {
    fn address(&self) -> &str {
        self.0.address()
    }

    fn stays(&self) -> bool {
        self.0.stays()
    }

    fn names(&self) -> Answer<'_, Vec<PackageName>> {
        Box::pin(async { Ok(self.load_names().await?.0.into_iter().collect()) })
    }

    fn index<'a>(&'a self, name: &'a PackageName) -> Answer<'a, Index> {
        Box::pin(async move {
            let missing = || Error::NoPackage { registry: self.0.address().to_owned(), name: name.clone() };
            Ok(self.load_index(name).await?.ok_or_else(missing)?.0)
        })
    }

    fn read<'a>(&'a self, name: &'a PackageName, release: &'a Release, from: u64) -> Answer<'a, Body> {
        Box::pin(async move { self.0.read(&archive_path(name, release), from).await })
    }

    fn has<'a>(&'a self, name: &'a PackageName, release: &'a Release) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.0.size(&archive_path(name, release)).await? == Some(release.bytes)) })
    }

    fn upload<'a>(&'a self, name: &'a PackageName, release: &'a Release, file: &'a Path) -> Answer<'a, ()> {
        Box::pin(async move { self.0.upload(&archive_path(name, release), file).await })
    }

    fn edit<'a>(&'a self, name: &'a PackageName, edit: Edit) -> Answer<'a, Index> {
        Box::pin(async move {
            let contended = || Error::Contended { registry: self.0.address().to_owned(), name: name.clone() };
            let mut pauses = pauses();
            let index = loop {
                if let Some(index) = self.try_edit(name, edit.clone()).await? {
                    break index;
                }
                tokio::time::sleep(pauses.next().ok_or_else(contended)?).await;
            };
            // After the index: an attempt that died in between is made up for by the next.
            while !self.try_list(name).await? {
                tokio::time::sleep(pauses.next().ok_or_else(contended)?).await;
            }
            Ok(index)
        })
    }

    fn prebuilt<'a>(&'a self, name: &'a PackageName, content: &'a Digest) -> Answer<'a, Option<Release>> {
        Box::pin(async move {
            let found = self.0.load(&prebuilt_path(name, content), MAX_RELEASE).await?;
            let Some(found) = found else { return Ok(None) };
            let address = self.0.address();
            let bytes = found.bytes.ok_or_else(|| too_large(name, address, MAX_RELEASE))?;
            Release::parse(&bytes, name, address).map(Some)
        })
    }

    fn put_prebuilt<'a>(
        &'a self,
        name: &'a PackageName,
        content: &'a Digest,
        release: &'a Release,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let bytes = serde_json::to_vec_pretty(release).unwrap_or_default();
            // Somebody who was faster built the same.
            self.0.store(&prebuilt_path(name, content), bytes, None).await.map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::release;

    /// A place whose files somebody else changes each time.
    struct Busy;

    impl Files for Busy {
        fn address(&self) -> &str {
            "busy"
        }

        fn load<'a>(&'a self, _: &'a str, _: u64) -> Answer<'a, Option<Document>> {
            Box::pin(async { Ok(None) })
        }

        fn store<'a>(&'a self, _: &'a str, _: Vec<u8>, _: Option<&'a str>) -> Answer<'a, bool> {
            Box::pin(async { Ok(false) })
        }

        fn size<'a>(&'a self, _: &'a str) -> Answer<'a, Option<u64>> {
            Box::pin(async { Ok(None) })
        }

        fn read<'a>(&'a self, _: &'a str, _: u64) -> Answer<'a, Body> {
            Box::pin(async { Err(Error::ReadOnly { registry: "busy".to_owned() }) })
        }

        fn upload<'a>(&'a self, _: &'a str, _: &'a Path) -> Answer<'a, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test]
    async fn an_index_that_others_change_all_the_time_is_given_up() {
        tokio::time::pause();
        let edit = Edit::Release(Box::new(release("1.0.0")));
        let error = FileRegistry(Busy).edit(&"rates".into(), edit).await.expect_err("given up");
        assert!(error.code() == "LS0812" && error.is_transient(), "{error}");
    }
}
