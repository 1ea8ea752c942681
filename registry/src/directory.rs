//! A registry in a folder: a path, or `file:PATH`.

use crate::blocking::{blocking, file_error, write_whole};
use crate::body::{Body, body};
use crate::bundle;
use crate::error::Error;
use crate::file_registry::{Document, FileRegistry, Files};
use crate::index::MAX_INDEX;
use crate::registry::{Answer, Location, Registry};
use longshore_package::sha256_hex;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Lock file, held during a change of an index.
const LOCK: &str = ".lock";

/// Longest time that the lock is waited for at once.
const LOCK_GRACE: Duration = Duration::from_secs(5);

/// The pause between two attempts to take it.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn open<'a>(location: &'a Location<'a>) -> Answer<'a, Arc<dyn Registry>> {
    Box::pin(async move {
        let path = PathBuf::from(location.rest.strip_prefix("//").unwrap_or(location.rest));
        let path = std::path::absolute(&path).map_err(|source| file_error(&path, source))?;
        if path.is_file() {
            return bundle::open_file(&path).await;
        }
        Ok(Arc::new(FileRegistry(Directory::new(path))) as Arc<dyn Registry>)
    })
}

/// A folder.
pub(crate) struct Directory {
    root: PathBuf,
    address: String,
}

impl Directory {
    pub(crate) fn new(root: PathBuf) -> Self {
        let address = root.display().to_string();
        Self { root, address }
    }

    /// The place of a file. A folder that is not there is not one without packages: it may not be mounted.
    fn place(&self, path: &str) -> Result<PathBuf, Error> {
        if self.root.is_dir() {
            return Ok(self.root.join(path));
        }
        let source = io::Error::new(ErrorKind::NotFound, "the folder is not there").into();
        Err(Error::Unreachable { registry: self.address.clone(), source })
    }
}

fn read_limited(path: &Path, limit: u64) -> Result<Option<Document>, Error> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > limit => Ok(Some(Document::too_large())),
        Ok(_) => {
            let revision = sha256_hex(&bytes);
            Ok(Some(Document::whole(bytes, revision)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file_error(path, source)),
    }
}

/// Takes a lock, if whoever has it gives it back soon.
fn take(lock: &File) -> bool {
    let attempts = LOCK_GRACE.as_millis() / LOCK_PAUSE.as_millis();
    (0..attempts).any(|_| {
        let taken = lock.try_lock().is_ok();
        if !taken {
            std::thread::sleep(LOCK_PAUSE);
        }
        taken
    })
}

impl Files for Directory {
    fn address(&self) -> &str {
        &self.address
    }

    fn stays(&self) -> bool {
        false
    }

    fn load<'a>(&'a self, path: &'a str, limit: u64) -> Answer<'a, Option<Document>> {
        Box::pin(async move {
            let place = self.place(path)?;
            blocking(move || read_limited(&place, limit)).await
        })
    }

    fn store<'a>(&'a self, path: &'a str, bytes: Vec<u8>, before: Option<&'a str>) -> Answer<'a, bool> {
        Box::pin(async move {
            let (place, lock) = (self.place(path)?, self.root.join(LOCK));
            let before = before.map(str::to_owned);
            blocking(move || {
                let held = File::options().create(true).truncate(false).write(true).open(&lock);
                let held = held.map_err(|source| file_error(&lock, source))?;
                if !take(&held) {
                    return Ok(false);
                }
                let found = read_limited(&place, MAX_INDEX)?.map(|found| found.revision);
                if found != before {
                    return Ok(false);
                }
                write_whole(&place, |file| file.write_all(&bytes))?;
                Ok(true)
            })
            .await
        })
    }

    fn size<'a>(&'a self, path: &'a str) -> Answer<'a, Option<u64>> {
        let place = self.root.join(path);
        Box::pin(blocking(move || match fs::metadata(&place) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(file_error(&place, source)),
        }))
    }

    fn read<'a>(&'a self, path: &'a str, from: u64) -> Answer<'a, Body> {
        Box::pin(async move {
            let place = self.place(path)?;
            let file =
                blocking(move || File::open(&place).map_err(|source| file_error(&place, source))).await?;
            Ok(body(file, from..u64::MAX))
        })
    }

    fn upload<'a>(&'a self, path: &'a str, file: &'a Path) -> Answer<'a, ()> {
        Box::pin(async move {
            let (place, file) = (self.place(path)?, file.to_owned());
            blocking(move || {
                let mut source = File::open(&file).map_err(|source| file_error(&file, source))?;
                write_whole(&place, |target| io::copy(&mut source, target).map(drop))
            })
            .await
        })
    }
}
