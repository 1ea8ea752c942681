//! Signatures inside an archive. They are no files of the package: neither the sums nor the digest know them.

use crate::archive::Archive;
use crate::error::Error;
use crate::trust::{MAX_SIGNATURES, SIGNATURES, Signature};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// An archive with these signatures added to those that it has; one of the same key and role takes the place of the other.
/// The same archive and signatures give the same bytes, in whatever order they come.
///
/// # Errors
/// Those of [`Archive::read`] and [`Archive::signatures`]; [`Error::BadSignature`] of another package; [`Error::OverLimit`]; [`Error::Write`] when the archive cannot be composed.
pub fn with_signatures(archive: &[u8], added: &[Signature], path: &Path) -> Result<Vec<u8>, Error> {
    let mut read = Archive::read(Cursor::new(archive), path, crate::ArchiveLimits::default())?;
    if added.iter().any(|signature| !signature.is_of(read.digest())) {
        let (origin, message) = (path.display().to_string(), "it is of another package".to_owned());
        return Err(Error::BadSignature { origin, message });
    }
    let mut by_name: BTreeMap<String, Signature> = BTreeMap::new();
    for signature in read.signatures()?.into_iter().chain(added.iter().cloned()) {
        by_name.insert(signature.file_name(), signature);
    }
    check_count(by_name.len())?;
    let compose = || -> zip::result::ZipResult<Vec<u8>> {
        let mut old = ZipArchive::new(Cursor::new(archive))?;
        let mut new = ZipWriter::new(Cursor::new(Vec::with_capacity(archive.len() + 4096)));
        copy_files(&mut old, &mut new)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        for (name, signature) in &by_name {
            new.start_file(format!("{SIGNATURES}{name}"), options)?;
            new.write_all(signature.armored().as_bytes())?;
        }
        Ok(new.finish()?.into_inner())
    };
    compose().map_err(|e| Error::Write { path: path.to_owned(), source: std::io::Error::other(e) })
}

/// Refuses more signatures than a package may have.
///
/// # Errors
/// [`Error::OverLimit`].
pub fn check_count(signatures: usize) -> Result<(), Error> {
    if signatures <= MAX_SIGNATURES {
        return Ok(());
    }
    let (actual, limit) = (signatures as u64, MAX_SIGNATURES as u64);
    Err(Error::OverLimit { what: "the number of signatures".into(), actual, limit })
}

/// Copies the files of the package as they are packed.
fn copy_files<R: Read + Seek>(
    old: &mut ZipArchive<R>,
    new: &mut ZipWriter<Cursor<Vec<u8>>>,
) -> zip::result::ZipResult<()> {
    for i in 0..old.len() {
        let entry = old.by_index_raw(i)?;
        if !entry.name()?.starts_with(SIGNATURES) {
            new.raw_copy_file(entry)?;
        }
    }
    Ok(())
}
