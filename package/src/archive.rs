//! The `.longshore` file: a zip with zstd, read under limits and written deterministically.

use crate::archive_directory::read_directory;
use crate::error::Error;
use crate::manifest::{MAX_MANIFEST, Manifest};
use crate::plain_file;
use crate::record::StaticRecord;
use crate::section::{MAX_SECTION, read_section};
use crate::sums::{SUMS_PATH, Sums, record_path, target_of};
use crate::trust::{MAX_SIGNATURE, MAX_SIGNATURES, SIGNATURES, Signature};
use longshore_workflow::names::Digest;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::Path;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// Where the manifest is.
pub const MANIFEST_PATH: &str = "package.toml";

/// Named limits on what an archive may hold. There is none on the ratio of compression: zeros are honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// The file itself: a network download should not fill a disk.
    pub archive_bytes: u64,
    /// All entries unpacked: libraries with symbols are large, and one host holds many.
    pub unpacked_bytes: u64,
    /// One entry unpacked; it is held in memory while it is verified.
    pub entry_bytes: u64,
    /// Entries: a package has a library per target and a handful of assets.
    pub entries: u64,
    /// Longest entry name: what file systems take.
    pub name_bytes: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            archive_bytes: 512 << 20,
            unpacked_bytes: 2 << 30,
            entry_bytes: 512 << 20,
            entries: 4096,
            name_bytes: 255,
        }
    }
}

/// An archive whose directory and sums were read and checked; contents are verified as they are read.
#[derive(Debug)]
pub struct Archive<R> {
    zip: ZipArchive<R>,
    sums: Sums,
    /// The paths of the signatures.
    signatures: Vec<String>,
    manifest: Manifest,
    digest: Digest,
    limits: ArchiveLimits,
}

impl Archive<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of [`Archive::read`], and [`Error::Read`].
    pub fn open(path: &Path, limits: ArchiveLimits) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let file = plain_file::open(path)?;
        let bytes = file.metadata().map_err(read)?.len();
        within("the archive file", bytes, limits.archive_bytes)?;
        Self::read(BufReader::new(file), path, limits)
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Reads directory, sums and manifest. `path` is for messages.
    ///
    /// # Errors
    /// [`Error`] for whatever is wrong, before anything is unpacked.
    pub fn read(mut reader: R, path: &Path, limits: ArchiveLimits) -> Result<Self, Error> {
        let broken = |source| Error::NotAnArchive { path: path.to_owned(), source };
        let invalid = |message: &str| broken(ZipError::InvalidArchive(message.to_owned().into()));
        let directory = read_directory(&mut reader, invalid, limits.entries)?;
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let mut zip = ZipArchive::with_config(config, reader).map_err(broken)?;
        // The reader may have found another directory than the one that was checked.
        if zip.central_directory_start() != directory.start || zip.len() as u64 != directory.entries {
            return Err(invalid("it has several directories"));
        }
        let names = check_directory(&mut zip, &limits, path)?;
        let (signatures, names): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| name.starts_with(SIGNATURES));
        within("the number of signatures", signatures.len() as u64, MAX_SIGNATURES as u64)?;
        let sums_text = read_entry(&mut zip, SUMS_PATH, MAX_MANIFEST * 16, path)?;
        let sums = Sums::parse(&String::from_utf8_lossy(&sums_text))?;
        sums.check_cover(&names)?;
        let digest = sums.digest();
        let manifest_bytes = read_entry(&mut zip, MANIFEST_PATH, MAX_MANIFEST, path)?;
        sums.verify(MANIFEST_PATH, &manifest_bytes)?;
        let manifest = Manifest::parse(&String::from_utf8_lossy(&manifest_bytes))?;
        Ok(Self { zip, sums, signatures, manifest, digest, limits })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The targets there is a library for, sorted.
    pub fn targets(&self) -> Vec<String> {
        self.sums.targets()
    }

    /// The files with their sums.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// The paths of the assets, each of which begins with `assets/`.
    pub fn assets(&self) -> Vec<String> {
        self.sums.assets().map(str::to_owned).collect()
    }

    /// The static record of the library for a target. That library is not unpacked, unless the archive is one of those that
    /// have no records of their own.
    ///
    /// # Errors
    /// [`Error::NoTarget`] with the targets there are; those of [`StaticRecord::parse`] and [`StaticRecord::of_library`].
    pub fn record(&mut self, target: &str) -> Result<StaticRecord, Error> {
        let path = record_path(target);
        if self.sums.library_of(target).is_none() || self.sums.of(&path).is_none() {
            return StaticRecord::of_library(&self.library(target)?.bytes);
        }
        let section = read_entry(&mut self.zip, &path, MAX_SECTION, Path::new(&path))?;
        self.sums.verify(&path, &section)?;
        StaticRecord::parse(&section)
    }

    /// The library for a target, verified. No other library is unpacked.
    ///
    /// # Errors
    /// [`Error::NoTarget`] with the targets there are; [`Error::SumMismatch`] when the bytes were changed.
    pub fn library(&mut self, target: &str) -> Result<PackedLibrary, Error> {
        let Some(path) = self.sums.library_of(target).map(str::to_owned) else {
            return Err(Error::NoTarget { wanted: target.to_owned(), has: self.targets() });
        };
        let bytes = self.file(&path)?;
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        // A file that verifies has a sum.
        let sha256 = self.sums.of(&path).unwrap_or_default().to_owned();
        Ok(PackedLibrary { name, bytes, sha256 })
    }

    /// Compares every file with its sum, and each record with its library. Returns how many files there are.
    ///
    /// # Errors
    /// [`Error::SumMismatch`] for the first that was changed, [`Error::OtherRecord`].
    pub fn check_files(&mut self) -> Result<usize, Error> {
        let paths: Vec<String> = self.sums.paths().map(str::to_owned).collect();
        for path in &paths {
            let bytes = self.file(path)?;
            if let Some(target) = target_of(path)
                && self.sums.of(&record_path(target)).is_some()
                && StaticRecord::of_library(&bytes)? != self.record(target)?
            {
                return Err(Error::OtherRecord { target: target.to_owned() });
            }
        }
        Ok(paths.len())
    }

    /// The signatures inside, unverified.
    ///
    /// # Errors
    /// [`Error::BadSignature`] when one does not read, [`Error::OverLimit`].
    pub fn signatures(&mut self) -> Result<Vec<Signature>, Error> {
        let mut signatures = Vec::new();
        for path in self.signatures.clone() {
            let text = read_entry(&mut self.zip, &path, MAX_SIGNATURE as u64, Path::new(&path))?;
            signatures.extend(Signature::parse_all(&String::from_utf8_lossy(&text), &path)?);
        }
        within("the number of signatures", signatures.len() as u64, MAX_SIGNATURES as u64)?;
        Ok(signatures)
    }

    /// The verified bytes of one file.
    ///
    /// # Errors
    /// [`Error::SumMismatch`] when they were changed.
    pub fn file(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let bytes = read_entry(&mut self.zip, name, self.limits.entry_bytes, Path::new(name))?;
        self.sums.verify(name, &bytes)?;
        Ok(bytes)
    }
}

/// A library of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedLibrary {
    /// The file name.
    pub name: String,
    /// The verified bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256 in hex.
    pub sha256: String,
}

fn within(what: &str, actual: u64, limit: u64) -> Result<(), Error> {
    if actual <= limit { Ok(()) } else { Err(Error::OverLimit { what: what.to_owned(), actual, limit }) }
}

/// Checks every entry of the central directory and returns the names of the files.
fn check_directory<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    limits: &ArchiveLimits,
    path: &Path,
) -> Result<Vec<String>, Error> {
    within("the number of entries", zip.len() as u64, limits.entries)?;
    let mut names = Vec::with_capacity(zip.len());
    let mut unpacked = 0_u64;
    for i in 0..zip.len() {
        let entry =
            zip.by_index_raw(i).map_err(|source| Error::NotAnArchive { path: path.to_owned(), source })?;
        let broken = |source| Error::NotAnArchive { path: path.to_owned(), source };
        let name = entry.name().map_err(broken)?.into_owned();
        within("the length of an entry's name", name.len() as u64, limits.name_bytes)?;
        if !is_plain_relative(&name) {
            return Err(Error::Traversal { name });
        }
        if entry.is_symlink() || !(entry.is_file() || entry.is_dir()) || is_special(entry.unix_mode()) {
            return Err(Error::NotAFile { name });
        }
        within(&format!("the size of `{name}`"), entry.size(), limits.entry_bytes)?;
        unpacked = unpacked.saturating_add(entry.size());
        if entry.is_file() {
            names.push(name);
        }
    }
    within("the size of all entries unpacked", unpacked, limits.unpacked_bytes)?;
    Ok(names)
}

/// Only names that mean the same everywhere: relative, forward slashes, no dots, no drive letters.
fn is_plain_relative(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', '\0', ':'])
        && name.trim_end_matches('/').split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// True when the mode says link, socket, pipe or device.
fn is_special(mode: Option<u32>) -> bool {
    const TYPE: u32 = 0o170_000;
    mode.is_some_and(|mode| !matches!(mode & TYPE, 0 | 0o100_000 | 0o040_000))
}

/// Unpacks one entry, trusting no size that the archive claims.
fn read_entry<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
    limit: u64,
    path: &Path,
) -> Result<Vec<u8>, Error> {
    let entry = zip.by_name(name).map_err(|source| match (source, name) {
        (ZipError::FileNotFound, MANIFEST_PATH) => Error::Missing { name: MANIFEST_PATH },
        (ZipError::FileNotFound, SUMS_PATH) => Error::Missing { name: SUMS_PATH },
        (source, _) => Error::NotAnArchive { path: path.to_owned(), source },
    })?;
    let mut bytes = Vec::with_capacity(entry.size().min(limit) as usize);
    let read = entry.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::NotAnArchive { path: path.to_owned(), source: source.into() })?;
    within(&format!("the size of `{name}`"), bytes.len() as u64, limit)?;
    Ok(bytes)
}

/// Files below this many bytes are stored as they are: setting the compressor up takes longer than it saves.
const SMALL: usize = 4096;

/// Makes an archive of a manifest and files given as (path, bytes): the same input gives the same bytes. The static record of
/// each library is packed beside it.
///
/// # Errors
/// [`Error::Write`] when the archive cannot be composed.
pub fn pack(manifest: &Manifest, files: &[(String, Vec<u8>)]) -> Result<(Digest, Vec<u8>), Error> {
    let manifest = (MANIFEST_PATH.to_owned(), manifest.to_toml().into_bytes());
    let mut all: BTreeMap<&str, &[u8]> = files.iter().map(|(p, b)| (p.as_str(), b.as_slice())).collect();
    all.insert(&manifest.0, &manifest.1);
    let records = records(files);
    all.extend(records.iter().map(|(path, section)| (path.as_str(), *section)));
    let sums = Sums::of_files(all.iter().map(|(path, bytes)| (*path, *bytes)));
    let (digest, sums_text) = (sums.digest(), sums.to_text());
    all.insert(SUMS_PATH, sums_text.as_bytes());

    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Zstd)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let stored = options.compression_method(CompressionMethod::Stored);
    let compose = || -> zip::result::ZipResult<Vec<u8>> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (path, bytes) in &all {
            writer.start_file(*path, if bytes.len() < SMALL { stored } else { options })?;
            writer.write_all(bytes)?;
        }
        Ok(writer.finish()?.into_inner())
    };
    let bytes =
        compose().map_err(|e| Error::Write { path: "archive".into(), source: std::io::Error::other(e) })?;
    Ok((digest, bytes))
}

/// The static records of libraries, as they stand in them; what is not a library has none.
fn records(files: &[(String, Vec<u8>)]) -> Vec<(String, &[u8])> {
    let mut records = Vec::new();
    for (path, bytes) in files {
        if let (Some(target), Ok(section)) = (target_of(path), read_section(bytes)) {
            records.push((record_path(target), section));
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256_hex;
    use crate::sums::target_path;

    fn manifest() -> Manifest {
        Manifest::parse("[package]\nname = \"p\"\nversion = \"1.0.0\"\nsdk = \"0.1.0\"\ninterface = 2\n")
            .expect("good")
    }

    fn library(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        vec![(target_path("here", "libp.so"), bytes.to_vec())]
    }

    fn open(bytes: &[u8]) -> Result<Archive<Cursor<Vec<u8>>>, Error> {
        Archive::read(Cursor::new(bytes.to_vec()), Path::new("p.longshore"), ArchiveLimits::default())
    }

    /// An archive with entries as they come, whatever they are.
    fn hostile(build: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        build(&mut writer);
        writer.finish().expect("in memory").into_inner()
    }

    #[test]
    fn a_package_reads_back_and_packs_the_same_twice() {
        let (digest, bytes) = pack(&manifest(), &library(b"code")).expect("packs");
        assert_eq!(pack(&manifest(), &library(b"code")).expect("packs").1, bytes);
        let mut archive = open(&bytes).expect("opens");
        assert_eq!(*archive.digest(), digest);
        assert_eq!(archive.targets(), ["here"]);
        let library = archive.library("here").expect("library");
        assert_eq!((library.name.as_str(), library.bytes.as_slice()), ("libp.so", &b"code"[..]));
        assert_eq!(library.sha256, sha256_hex(b"code"));
    }

    #[test]
    fn a_missing_target_lists_those_there_are() {
        let (_, bytes) = pack(&manifest(), &library(b"code")).expect("packs");
        let error = open(&bytes).expect("opens").library("there").expect_err("no such target");
        assert_eq!(error.to_string(), "no build for target there; the package has here");
        assert_eq!(error.code(), "LS0111");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Archive::open(Path::new("nowhere/p.longshore"), ArchiveLimits::default());
        let error = error.expect_err("not there");
        assert_eq!((error.code(), error.to_string().as_str()), ("LS0101", "cannot read nowhere/p.longshore"));
    }

    #[test]
    fn an_archive_without_a_manifest_or_without_sums_is_refused() {
        let of = |names: &[&str]| {
            let bytes = hostile(|w| {
                for name in names {
                    w.start_file(*name, SimpleFileOptions::default()).expect("start");
                }
            });
            open(&bytes).expect_err("incomplete")
        };
        for names in [&[][..], &[SUMS_PATH], &[MANIFEST_PATH]] {
            assert_eq!(of(names).code(), "LS0107", "{names:?}");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let (_, bytes) = pack(&manifest(), &library(&[7; 500])).expect("packs");
        for cut in [1, 10, 100, bytes.len() / 2, bytes.len() - 1] {
            let error = open(&bytes[..bytes.len() - cut]).expect_err("cut");
            assert_eq!(error.code(), "LS0103", "{error}");
        }
    }

    #[test]
    fn a_changed_library_is_found_when_it_is_read() {
        let (_, good) = pack(&manifest(), &library(b"code")).expect("packs");
        let mut archive = open(&good).expect("opens");
        let other = (target_path("here", "libp.so"), sha256_hex(b"other"));
        archive.sums = Sums::parse(&format!("{}  {}\n", other.1, other.0)).expect("sums");
        assert_eq!(archive.library("here").expect_err("changed").code(), "LS0108");
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../evil", "/etc/passwd", "a/../../b", "a\\b", "C:evil", "a//b"] {
            let bytes = hostile(|w| w.start_file(name, SimpleFileOptions::default()).expect("start"));
            assert_eq!(open(&bytes).expect_err("leads out").code(), "LS0105", "{name}");
        }
    }

    #[test]
    fn links_are_refused() {
        let bytes =
            hostile(|w| w.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).expect("link"));
        assert_eq!(open(&bytes).expect_err("a link").code(), "LS0106");
    }

    #[test]
    fn too_many_entries_and_too_much_content_are_refused() {
        let limits = ArchiveLimits { entries: 2, entry_bytes: 100, ..ArchiveLimits::default() };
        let read =
            |bytes: Vec<u8>| Archive::read(Cursor::new(bytes), Path::new("p"), limits).expect_err("over");
        let many = hostile(|w| {
            for name in ["a", "b", "c"] {
                w.start_file(name, SimpleFileOptions::default()).expect("start");
            }
        });
        assert_eq!(read(many).code(), "LS0104");
        let big = hostile(|w| {
            w.start_file("a", SimpleFileOptions::default()).expect("start");
            w.write_all(&[0; 101]).expect("write");
        });
        assert_eq!(read(big).code(), "LS0104");
    }

    /// The bytes of a directory's entry with this name.
    fn entry(name: &str) -> Vec<u8> {
        let mut header = vec![0; 46];
        header[..4].copy_from_slice(b"PK\x01\x02");
        header[28..30].copy_from_slice(&(name.len() as u16).to_le_bytes());
        header.extend_from_slice(name.as_bytes());
        header
    }

    /// The bytes of an archive with this directory, which says that it has so many entries.
    fn with_directory(directory: &[u8], entries: u16) -> Vec<u8> {
        let mut bytes = directory.to_vec();
        bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        bytes.extend_from_slice(&[entries.to_le_bytes(), entries.to_le_bytes()].concat());
        bytes.extend_from_slice(&(directory.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes
    }

    #[test]
    fn a_directory_is_refused_before_it_is_believed() {
        let code = |bytes: &[u8]| open(bytes).expect_err("hostile").code();
        let many: Vec<u8> = (0..5000).flat_map(|n| entry(&format!("{n}"))).collect();
        assert_eq!(code(&with_directory(&many, 5000)), "LS0104", "more than the limit");
        assert_eq!(code(&with_directory(&many, u16::MAX)), "LS0104", "as many as zip64 has");
        assert_eq!(code(&with_directory(&many, 7)), "LS0103", "more than it says");
        assert_eq!(code(&with_directory(&entry("a"), 2)), "LS0103", "fewer than it says");
        assert_eq!(code(&with_directory(&vec![0; (4 << 20) + 1], 3)), "LS0104", "a large directory");
        assert_eq!(code(&with_directory(&[entry("a"), entry("a")].concat(), 2)), "LS0112");
        assert_eq!(code(&with_directory(&[entry("dir/a"), entry("Dir/A")].concat(), 2)), "LS0112");
        let (_, good) = pack(&manifest(), &library(b"code")).expect("packs");
        assert_eq!(code(&[b"in front".as_slice(), &good].concat()), "LS0103");
        assert_eq!(code(&[good.as_slice(), b"behind"].concat()), "LS0103");
    }

    #[test]
    fn a_highly_compressible_archive_is_honest() {
        let (_, bytes) = pack(&manifest(), &library(&vec![0; 4 << 20])).expect("packs");
        assert!(bytes.len() < 16 << 10);
        assert_eq!(open(&bytes).expect("opens").library("here").expect("library").bytes.len(), 4 << 20);
    }

    #[test]
    fn files_that_the_sums_do_not_list_are_refused() {
        let options = SimpleFileOptions::default();
        let bytes = hostile(|w| {
            w.start_file(SUMS_PATH, options).expect("start");
            w.start_file("smuggled", options).expect("start");
        });
        assert_eq!(open(&bytes).expect_err("unlisted").code(), "LS0109");
    }
}
