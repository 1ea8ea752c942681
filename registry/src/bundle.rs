//! Bundles: a registry in one file, for machines without a network. A zip whose entries are the files of a registry, not
//! compressed: archives are compressed already, and are read in place.

use crate::blocking::{blocking, file_error, write_whole};
use crate::body::{Body, body};
use crate::error::Error;
use crate::file_registry::{Document, FileRegistry, Files};
use crate::registry::{Answer, Registry};
use longshore_package::sha256_hex;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// Most files of a bundle.
const MAX_ENTRIES: usize = 100_000;

/// A bundle: where each of its files lies.
struct Bundle {
    path: PathBuf,
    address: String,
    entries: HashMap<String, Entry>,
}

/// The place of a file in a bundle.
#[derive(Clone, Copy)]
struct Entry {
    start: u64,
    bytes: u64,
}

/// Opens a bundle as a registry that is only read from.
pub(crate) async fn open_file(path: &Path) -> Result<Arc<dyn Registry>, Error> {
    let path = path.to_owned();
    let bundle = blocking(move || Bundle::open(path)).await?;
    Ok(Arc::new(FileRegistry(bundle)))
}

impl Bundle {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let broken = |message: String| file_error(&path, io::Error::new(io::ErrorKind::InvalidData, message));
        let file = File::open(&path).map_err(|source| file_error(&path, source))?;
        let mut zip = ZipArchive::new(file).map_err(|error| broken(format!("it is no bundle: {error}")))?;
        if zip.len() > MAX_ENTRIES {
            return Err(broken(format!("it has more than {MAX_ENTRIES} files")));
        }
        let mut entries = HashMap::with_capacity(zip.len());
        for i in 0..zip.len() {
            let entry = zip.by_index_raw(i).map_err(|error| broken(error.to_string()))?;
            let name = entry.name().map_err(|error| broken(error.to_string()))?.into_owned();
            let start = entry.data_start().filter(|_| entry.compression() == CompressionMethod::Stored);
            let start = start.ok_or_else(|| broken(format!("`{name}` is compressed")))?;
            entries.insert(name, Entry { start, bytes: entry.size() });
        }
        let address = path.display().to_string();
        Ok(Self { path, address, entries })
    }

    fn read_only<T>(&self) -> Answer<'_, T> {
        let registry = self.address.clone();
        Box::pin(async move { Err(Error::ReadOnly { registry }) })
    }
}

impl Files for Bundle {
    fn address(&self) -> &str {
        &self.address
    }

    fn stays(&self) -> bool {
        false
    }

    fn load<'a>(&'a self, path: &'a str, limit: u64) -> Answer<'a, Option<Document>> {
        Box::pin(async move {
            let Some(entry) = self.entries.get(path).copied() else { return Ok(None) };
            if entry.bytes > limit {
                return Ok(Some(Document::too_large()));
            }
            let path = self.path.clone();
            let bytes = blocking(move || {
                let mut bytes = Vec::new();
                let read = File::open(&path).and_then(|mut file| {
                    file.seek(io::SeekFrom::Start(entry.start))?;
                    file.take(entry.bytes).read_to_end(&mut bytes)
                });
                read.map(|_| bytes).map_err(|source| file_error(&path, source))
            });
            let bytes = bytes.await?;
            let revision = sha256_hex(&bytes);
            Ok(Some(Document::whole(bytes, revision)))
        })
    }

    fn store<'a>(&'a self, _: &'a str, _: Vec<u8>, _: Option<&'a str>) -> Answer<'a, bool> {
        self.read_only()
    }

    fn size<'a>(&'a self, path: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(async move { Ok(self.entries.get(path).map(|entry| entry.bytes)) })
    }

    fn read<'a>(&'a self, path: &'a str, from: u64) -> Answer<'a, Body> {
        Box::pin(async move {
            let missing = || {
                file_error(&self.path, io::Error::new(io::ErrorKind::NotFound, format!("it has no `{path}`")))
            };
            let entry = self.entries.get(path).copied().ok_or_else(missing)?;
            let file = File::open(&self.path).map_err(|source| file_error(&self.path, source))?;
            let end = entry.start + entry.bytes;
            Ok(Body { from, ..body(file, entry.start + from..end) })
        })
    }

    fn upload<'a>(&'a self, _: &'a str, _: &'a Path) -> Answer<'a, ()> {
        self.read_only()
    }
}

/// Writes the files of a registry folder into one file, the same bytes for the same files.
///
/// # Errors
/// [`Error::File`].
pub fn write_bundle(folder: &Path, target: &Path) -> Result<(), Error> {
    let mut paths = Vec::new();
    list(folder, folder, &mut paths).map_err(|source| file_error(folder, source))?;
    paths.sort();
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .large_file(true)
        .unix_permissions(0o644);
    let compose = |file: &mut File| -> zip::result::ZipResult<()> {
        let mut zip = ZipWriter::new(io::BufWriter::new(file));
        for path in &paths {
            zip.start_file(path.as_str(), options)?;
            io::copy(&mut File::open(folder.join(path))?, &mut zip)?;
        }
        zip.finish()?.flush()?;
        Ok(())
    };
    write_whole(target, |file| compose(file).map_err(io::Error::other))
}

/// The files below a folder, as paths with `/`; hidden ones are not of the registry.
fn list(root: &Path, folder: &Path, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let (path, entry) = entry.map(|entry| (entry.path(), entry))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(root, &path, paths)?;
        } else if let Ok(path) = path.strip_prefix(root) {
            let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
            paths.push(parts.join("/"));
        }
    }
    Ok(())
}
