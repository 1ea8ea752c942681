//! Digests of files.

use longshore_workflow::names::Digest;
use sha2::{Digest as _, Sha256};

/// The digest of files given as (path, SHA-256 in hex).
///
/// Each file counts as its SHA-256 in hex, two spaces, its path and a newline: the lines that `sha256sum` prints,
/// sorted by path.
pub fn digest_of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Digest {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_unstable();
    let mut hasher = Sha256::new();
    for (path, sum) in files {
        hasher.update(format!("{sum}  {path}\n"));
    }
    Digest::from_sha256(hasher.finalize().into())
}

/// SHA-256 in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_files_does_not_matter() {
        let (a, b) = (("a", "11"), ("b", "22"));
        assert_eq!(digest_of_files([a, b]), digest_of_files([b, a]));
        assert_ne!(digest_of_files([a]), digest_of_files([a, b]));
    }
}
