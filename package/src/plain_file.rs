//! Files that strangers may have put in place: opened without waiting for anybody, read under a limit.

use crate::error::Error;
use longshore_workflow::names::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Opens a plain file. A pipe has nobody at its other end, and a device no end.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    open_plain(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn open_plain(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NONBLOCK.bits());
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "it is not a plain file"))
    }
}

/// SHA-256 of a plain file, read piece by piece.
///
/// # Errors
/// Those of the system.
pub fn sha256_of_file(path: &Path) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    io::copy(&mut open_plain(path)?, &mut hasher)?;
    Ok(Digest::from_sha256(hasher.finalize().into()))
}

/// Reads a text of at most `limit` bytes.
///
/// # Errors
/// [`Error::Read`], [`Error::OverLimit`].
pub fn read_text(path: &Path, limit: u64) -> Result<String, Error> {
    let mut text = String::new();
    let read = open(path)?.take(limit + 1).read_to_string(&mut text);
    read.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let actual = text.len() as u64;
    if actual > limit {
        return Err(Error::OverLimit { what: format!("the size of {}", path.display()), actual, limit });
    }
    Ok(text)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_and_a_device_are_refused_at_once() {
        let folder = tempfile::tempdir().expect("folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()));
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            assert_eq!(read_text(path, 10).expect_err("refused").code(), "LS0101", "{}", path.display());
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "12345678901").expect("writes");
        assert_eq!(read_text(&file, 10).expect_err("too long").code(), "LS0104");
        assert_eq!(read_text(&file, 11).expect("reads"), "12345678901");
    }
}
