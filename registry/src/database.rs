//! A registry in a Longshore database, which many hosts share: `sqlite:FILE`, `postgres://USER@HOST/NAME`.

use crate::blocking::{blocking, file_error};
use crate::body::Body;
use crate::file_registry::{Document, FileRegistry, Files};
use crate::registry::{Answer, Location, Registry};
use bytes::Bytes;
use longshore_store::{ARCHIVE_CHUNK, Access, RegistryFiles, Store};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn open<'a>(location: &'a Location<'a>) -> Answer<'a, Arc<dyn Registry>> {
    Box::pin(async move {
        let store = Store::open(location.address, Access::Client).await?;
        Ok(Arc::new(FileRegistry(Database { store })) as Arc<dyn Registry>)
    })
}

/// A database.
struct Database {
    store: Store,
}

impl Files for Database {
    fn address(&self) -> &str {
        self.store.url()
    }

    fn load<'a>(&'a self, path: &'a str, limit: u64) -> Answer<'a, Option<Document>> {
        Box::pin(async move {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = RegistryFiles::document(&self.store, path, limit).await?;
            Ok(found.map(|found| Document { revision: found.revision.to_string(), bytes: found.body }))
        })
    }

    fn store<'a>(&'a self, path: &'a str, bytes: Vec<u8>, before: Option<&'a str>) -> Answer<'a, bool> {
        Box::pin(async move {
            let before = before.and_then(|revision| revision.parse().ok());
            Ok(RegistryFiles::put_document(&self.store, path, &bytes, before).await?)
        })
    }

    fn size<'a>(&'a self, path: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(async move {
            let bytes = RegistryFiles::archive_bytes(&self.store, path).await?;
            Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()))
        })
    }

    fn read<'a>(&'a self, path: &'a str, from: u64) -> Answer<'a, Body> {
        let (store, path) = (self.store.clone(), path.to_owned());
        let chunk = ARCHIVE_CHUNK as u64;
        // A chunk is read whole: what was there of it before comes again.
        let first = i64::try_from(from / chunk).unwrap_or(i64::MAX);
        let chunks =
            futures_util::stream::try_unfold((store, path, first), |(store, path, seq)| async move {
                let bytes = RegistryFiles::chunk(&store, &path, seq).await?;
                Ok(bytes.map(|bytes| (Bytes::from(bytes), (store, path, seq + 1))))
            });
        Box::pin(async move { Ok(Body { from: from - from % chunk, chunks: Box::pin(chunks) }) })
    }

    fn upload<'a>(&'a self, path: &'a str, file: &'a Path) -> Answer<'a, ()> {
        Box::pin(async move {
            let failed = |source| file_error(file, source);
            let reader = File::open(file).map_err(failed)?;
            let (mut seq, mut bytes) = (0, 0);
            loop {
                let (next, name) = (reader.try_clone().map_err(failed)?, file.to_owned());
                let chunk = blocking(move || {
                    let mut chunk = Vec::with_capacity(ARCHIVE_CHUNK);
                    let read = next.take(ARCHIVE_CHUNK as u64).read_to_end(&mut chunk);
                    read.map(|_| chunk).map_err(|source| file_error(&name, source))
                });
                let chunk = chunk.await?;
                if chunk.is_empty() {
                    break;
                }
                RegistryFiles::put_chunk(&self.store, path, seq, &chunk).await?;
                (seq, bytes) = (seq + 1, bytes + chunk.len() as i64);
            }
            Ok(RegistryFiles::finish_archive(&self.store, path, bytes).await?)
        })
    }
}
