//! Replacing a file in one step.

use longshore_package::Error;
use std::io::Write;
use std::path::Path;

/// Replaces a file, or makes it: whoever looks sees the old bytes or the new ones, also after a power failure. Links are
/// followed, and the mode of a file that is there stays.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let write = || -> std::io::Result<()> {
        let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Its name is hidden and cannot be known before: hosts that watch the folder leave it alone.
        let mut new = tempfile::Builder::new().prefix(".").tempfile_in(folder.unwrap_or(Path::new(".")))?;
        new.write_all(bytes)?;
        #[cfg(unix)]
        new.as_file().set_permissions(permissions(&real))?;
        new.as_file().sync_all()?;
        new.persist(&real).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| Error::Write { path: file.to_owned(), source })
}

/// Those of the file that is there; a new one may be read by everybody, as the programs that build it make theirs.
#[cfg(unix)]
fn permissions(file: &Path) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    let there = std::fs::metadata(file).map(|metadata| metadata.permissions());
    there.unwrap_or_else(|_| PermissionsExt::from_mode(0o644))
}
