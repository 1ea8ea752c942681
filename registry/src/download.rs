//! [`Downloads`]: archives as they arrive. A part that was broken off goes on where it ended.

use crate::blocking::{blocking, file_error};
use crate::error::Error;
use crate::index::Release;
use crate::registry::Registry;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::StreamExt;
use longshore_package::{Archive, ArchiveLimits, PackageName, sha256_of_file};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Longest silence of a registry while it sends.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// Longest time for one archive. What arrived until then stays, and the next attempt goes on.
const WHOLE: Duration = Duration::from_secs(15 * 60);

/// Pause after the first attempt without a byte.
const PAUSE: Duration = Duration::from_millis(200);

/// Attempts in a row without a byte.
const ATTEMPTS: usize = 4;

/// An archive that arrived and is what its index says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// Bytes that came over the wire: 0 when it was there.
    pub downloaded: u64,
}

/// A folder of archives, each named by its SHA-256.
#[derive(Debug, Clone)]
pub struct Downloads {
    folder: PathBuf,
}

/// An archive that is expected.
#[derive(Clone)]
struct Expected {
    registry: String,
    name: PackageName,
    release: Release,
}

/// The file that an archive arrives in.
struct Part {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Downloads {
    /// The downloads of a folder, which is made when the first one arrives.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The archive of a release, from this folder or else from a registry.
    ///
    /// # Errors
    /// [`Error::OtherBytes`] when it is not what the index says; [`Error::File`]; those of the registry.
    pub async fn get(
        &self,
        registry: &dyn Registry,
        name: &PackageName,
        release: &Release,
    ) -> Result<Fetched, Error> {
        let expected = Expected {
            registry: registry.address().to_owned(),
            name: name.clone(),
            release: release.clone(),
        };
        let path = self.folder.join(format!("{}.longshore", release.sha256));
        let (known, kept) = (expected.clone(), path.clone());
        if blocking(move || Ok(kept.is_file() && known.check(&kept).is_ok())).await? {
            return Ok(Fetched { path, downloaded: 0 });
        }
        let (folder, sha256) = (self.folder.clone(), release.sha256.clone());
        let mut part = blocking(move || Part::open(&folder, sha256.as_str())).await?;
        let began = part.bytes;
        let whole = tokio::time::timeout(WHOLE, part.fill(registry, &expected)).await;
        let mut downloaded = whole.unwrap_or_else(|_| Err(silent(&expected.registry, WHOLE)))?;
        let resumed = began > 0 && downloaded < release.bytes;
        if let Err(error) = part.check(&expected).await {
            if !resumed {
                return Err(error);
            }
            // What was there before may have been of something else.
            let again = tokio::time::timeout(WHOLE, part.fill(registry, &expected)).await;
            downloaded += again.unwrap_or_else(|_| Err(silent(&expected.registry, WHOLE)))?;
            part.check(&expected).await?;
        }
        let target = path.clone();
        blocking(move || part.finish(&target)).await?;
        Ok(Fetched { path, downloaded })
    }

    /// Removes the archives that arrived longest ago until the folder has at most so many bytes.
    ///
    /// # Errors
    /// [`Error::File`] when the folder cannot be listed.
    pub fn keep_within(&self, limit: u64) -> Result<(), Error> {
        let listed = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            listed => listed.map_err(|source| file_error(&self.folder, source))?,
        };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = listed
            .flatten()
            .filter_map(|entry| {
                let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, size, path) in files {
            if bytes <= limit {
                break;
            }
            // One that cannot be removed is tried again the next time.
            let _ = std::fs::remove_file(path);
            bytes -= size;
        }
        Ok(())
    }
}

impl Part {
    /// The part that an earlier attempt left; a new one when there is none, or somebody else fills it right now.
    fn open(folder: &Path, sha256: &str) -> Result<Self, Error> {
        make_private(folder).map_err(|source| file_error(folder, source))?;
        let path = folder.join(format!("{sha256}.part"));
        let failed = |source| file_error(&path, source);
        let file = open_own(&path).map_err(failed)?;
        // Whoever had it before may have finished it: then its name is another one.
        if file.try_lock().is_ok() && is_still(&file, &path) {
            let bytes = file.metadata().map_err(failed)?.len();
            return Ok(Self { path, file, bytes });
        }
        let own = tempfile::Builder::new().prefix(sha256).suffix(".part").tempfile_in(folder);
        let (file, path) = own
            .and_then(|own| own.keep().map_err(|error| error.error))
            .map_err(|source| file_error(folder, source))?;
        Ok(Self { path, file, bytes: 0 })
    }

    /// Reads until it is whole. Returns the bytes that came.
    async fn fill(&mut self, registry: &dyn Registry, expected: &Expected) -> Result<u64, Error> {
        let wanted = expected.release.bytes;
        if self.bytes > wanted {
            self.cut(0)?;
        }
        let mut downloaded = 0;
        let pauses = || {
            let builder = ExponentialBuilder::default().with_min_delay(PAUSE).with_jitter();
            builder.with_max_times(ATTEMPTS).build()
        };
        let mut pause = pauses();
        while self.bytes < wanted {
            let before = downloaded;
            let Err(error) = self.read_on(registry, expected, &mut downloaded).await else { continue };
            if downloaded > before {
                pause = pauses();
            }
            match pause.next().filter(|_| error.is_transient()) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
        Ok(downloaded)
    }

    async fn read_on(
        &mut self,
        registry: &dyn Registry,
        expected: &Expected,
        downloaded: &mut u64,
    ) -> Result<(), Error> {
        let address = &expected.registry;
        let opened =
            tokio::time::timeout(SILENCE, registry.read(&expected.name, &expected.release, self.bytes)).await;
        let mut body = opened.map_err(|_| silent(address, SILENCE))??;
        if body.from != self.bytes {
            self.cut(body.from.min(self.bytes))?;
            if body.from != self.bytes {
                return Err(expected.differs("it begins somewhere else than asked for".to_owned()));
            }
        }
        self.seek()?;
        loop {
            let next = tokio::time::timeout(SILENCE, body.chunks.next()).await;
            let chunk = match next.map_err(|_| silent(address, SILENCE))? {
                Some(chunk) => {
                    chunk.map_err(|source| Error::Unreachable { registry: address.clone(), source })?
                }
                None if self.bytes < expected.release.bytes => {
                    return Err(cut_off(address, self.bytes, expected));
                }
                None => return Ok(()),
            };
            if self.bytes + chunk.len() as u64 > expected.release.bytes {
                self.cut(0)?;
                return Err(expected.differs(format!("more than {} bytes", expected.release.bytes)));
            }
            // A chunk is small, and the page cache takes it: no thread of its own.
            self.file.write_all(&chunk).map_err(|source| file_error(&self.path, source))?;
            self.bytes += chunk.len() as u64;
            *downloaded += chunk.len() as u64;
        }
    }

    fn seek(&mut self) -> Result<(), Error> {
        self.file.seek(SeekFrom::Start(self.bytes)).map_err(|source| file_error(&self.path, source))?;
        Ok(())
    }

    fn cut(&mut self, bytes: u64) -> Result<(), Error> {
        self.file.set_len(bytes).map_err(|source| file_error(&self.path, source))?;
        self.bytes = bytes;
        self.seek()
    }

    /// Checks a whole part; one that is wrong is emptied.
    async fn check(&mut self, expected: &Expected) -> Result<(), Error> {
        let (expected, path) = (expected.clone(), self.path.clone());
        let checked = blocking(move || expected.check(&path)).await;
        // A file that could not be read says nothing about its bytes.
        if matches!(checked, Err(Error::OtherBytes { .. })) {
            self.cut(0)?;
        }
        checked
    }

    fn finish(self, target: &Path) -> Result<(), Error> {
        let done = self.file.sync_all().and_then(|()| std::fs::rename(&self.path, target));
        done.map_err(|source| file_error(target, source))
    }
}

impl Expected {
    fn differs(&self, message: String) -> Error {
        let (registry, name) = (self.registry.clone(), self.name.clone());
        Error::OtherBytes { registry, name, version: self.release.version.clone(), message }
    }

    /// Compares a file with what the index says.
    fn check(&self, path: &Path) -> Result<(), Error> {
        let release = &self.release;
        let found = sha256_of_file(path).map_err(|source| file_error(path, source))?;
        if found != release.sha256 {
            return Err(self.differs(format!("SHA-256 {found}, and not {}", release.sha256)));
        }
        let archive = Archive::open(path, ArchiveLimits::default())
            .map_err(|error| self.differs(format!("it is no package: {error}")))?;
        let package = &archive.manifest().package;
        let differs = |what: &str, found: String, said: String| {
            Err(self.differs(format!("its {what}: {found}; the index says {said}")))
        };
        if *archive.digest() != release.digest {
            return differs("digest", archive.digest().to_string(), release.digest.to_string());
        }
        if package.name != self.name || package.version != release.version.to_string() {
            let found = format!("{} {}", package.name, package.version);
            return differs("package", found, format!("{} {}", self.name, release.version));
        }
        if archive.targets() != release.targets {
            return differs("builds", archive.targets().join(", "), release.targets.join(", "));
        }
        Ok(())
    }
}

/// Makes a folder that nobody else may look into or write to.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Opens a file to go on with it, or makes it. A link to another file is refused.
fn open_own(path: &Path) -> std::io::Result<File> {
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(std::io::Error::other("it is not a plain file"));
    }
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// True when a path still leads to an open file.
#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => number(open) == number(named),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_still(_: &File, path: &Path) -> bool {
    path.exists()
}

fn silent(registry: &str, time: Duration) -> Error {
    let source = format!("no byte for {} s, or not all of them in time", time.as_secs()).into();
    Error::Unreachable { registry: registry.to_owned(), source }
}

fn cut_off(registry: &str, bytes: u64, expected: &Expected) -> Error {
    let source = format!("it broke off after {bytes} of {} bytes", expected.release.bytes).into();
    Error::Unreachable { registry: registry.to_owned(), source }
}
