//! The assets of a package in the artifact cache, read only as they were packed.

use longshore_package::{ASSETS, Digest, SUMS_PATH, Sums, sha256_hex};
use std::fmt;
use std::path::PathBuf;

/// The assets of a cached digest: its folder in the cache, and the digest that they are compared with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Assets {
    folder: PathBuf,
    digest: Digest,
}

/// The fault of a read.
#[derive(Debug)]
pub(crate) enum AssetProblem {
    /// The package has no such file.
    Unknown,
    /// It is not in the artifact cache any more.
    Unreadable(std::io::Error),
    /// It is not the file that was packed.
    Changed,
}

impl Assets {
    pub(crate) fn new(folder: PathBuf, digest: Digest) -> Self {
        Self { folder, digest }
    }

    /// The sums of the archive, which are those of its digest.
    pub(super) fn sums(&self) -> Result<Sums, AssetProblem> {
        let text = std::fs::read_to_string(self.folder.join(SUMS_PATH)).map_err(AssetProblem::Unreadable)?;
        let sums = Sums::parse(&text).map_err(|_| AssetProblem::Changed)?;
        if sums.digest() == self.digest { Ok(sums) } else { Err(AssetProblem::Changed) }
    }

    /// The bytes of a file of the archive.
    pub(super) fn file(&self, sums: &Sums, path: &str) -> Result<Vec<u8>, AssetProblem> {
        // The sums are those of an archive that was checked: no name among them leads elsewhere.
        let sum = sums.of(path).ok_or(AssetProblem::Unknown)?;
        let bytes = std::fs::read(self.folder.join(path)).map_err(AssetProblem::Unreadable)?;
        if sha256_hex(&bytes) == sum { Ok(bytes) } else { Err(AssetProblem::Changed) }
    }

    /// The bytes of an asset.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, AssetProblem> {
        self.file(&self.sums()?, &format!("{ASSETS}{name}"))
    }
}

impl fmt::Display for AssetProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the package has no such file"),
            Self::Unreadable(error) => write!(f, "the artifact cache does not have it any more: {error}"),
            Self::Changed => f.write_str("it was changed in the artifact cache"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_that_were_packed_are_read() {
        let folder = tempfile::tempdir().expect("folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
        std::fs::create_dir(folder.path().join("assets")).expect("folder");
        write("assets/a.txt", "a");
        write("library.so", "code");
        let sums = format!("{}  assets/a.txt\n{}  library.so\n", sha256_hex(b"a"), sha256_hex(b"code"));
        write(SUMS_PATH, &sums);
        let digest = Sums::parse(&sums).expect("sums").digest();
        let assets = Assets::new(folder.path().to_owned(), digest);
        assert_eq!(assets.read("a.txt").expect("as packed"), b"a");
        for unknown in ["b.txt", "../library.so", "", "/etc/passwd"] {
            assert!(matches!(assets.read(unknown), Err(AssetProblem::Unknown)), "{unknown}");
        }
        write("assets/a.txt", "b");
        assert!(matches!(assets.read("a.txt"), Err(AssetProblem::Changed)));
        std::fs::remove_file(folder.path().join("assets/a.txt")).expect("removes");
        assert!(matches!(assets.read("a.txt"), Err(AssetProblem::Unreadable(_))));
        // Sums that were changed with it are not those of the digest.
        write("assets/a.txt", "b");
        write(SUMS_PATH, &sums.replace(&sha256_hex(b"a"), &sha256_hex(b"b")));
        assert!(matches!(assets.read("a.txt"), Err(AssetProblem::Changed)));
    }
}
