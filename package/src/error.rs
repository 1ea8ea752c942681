//! Errors of a package's files.

use std::path::PathBuf;

/// Why a package was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not a complete zip archive.
    #[error("{} is not a complete archive", path.display())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        source: zip::result::ZipError,
    },
    /// A named limit was passed.
    #[error("{what} is {actual}, over the limit of {limit}")]
    OverLimit {
        /// The thing that is too large or too many.
        what: String,
        /// The actual amount.
        actual: u64,
        /// The limit.
        limit: u64,
    },
    /// An entry's name leads out of the archive.
    #[error("the archive has an entry `{name}`, which leads out of it")]
    Traversal {
        /// The entry.
        name: String,
    },
    /// An entry is a link or a device.
    #[error("the archive has an entry `{name}` that is not a plain file")]
    NotAFile {
        /// The entry.
        name: String,
    },
    /// A file that every package has is missing.
    #[error("the archive has no `{name}`")]
    Missing {
        /// The file.
        name: &'static str,
    },
    /// A file's content is not what `SHA256SUMS` says.
    #[error("`{name}` is not what SHA256SUMS says it is")]
    SumMismatch {
        /// The file.
        name: String,
    },
    /// `SHA256SUMS` and the archive list different files.
    #[error("SHA256SUMS and the archive disagree about `{name}`")]
    SumsDisagree {
        /// The file that only one of them has.
        name: String,
    },
    /// Two entries have the same name, or names that differ in case alone.
    #[error("the archive has `{name}` twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A line of `SHA256SUMS` does not read.
    #[error("SHA256SUMS, line {line}: not a SHA-256 in hex, two spaces and a path that was not there before")]
    BadSum {
        /// From 1.
        line: usize,
    },
    /// The package has several libraries for one target.
    #[error("the package has several libraries for {target}: {}", libraries.join(", "))]
    SeveralLibraries {
        /// The target.
        target: String,
        /// Their paths.
        libraries: Vec<String>,
    },
    /// Two builds that are to be joined are not of one package.
    #[error("{first} and {other} are not builds of one package: they differ in {what}")]
    OtherBuild {
        /// The first build.
        first: String,
        /// The other one.
        other: String,
        /// The difference.
        what: String,
    },
    /// No manifest says what bare libraries are a package of.
    #[error("no archive is among the builds, whose manifest the package could have")]
    NoManifest,
    /// A text is not a signature, or not one that is read here.
    #[error("{origin} is not a signature that reads: {message}")]
    BadSignature {
        /// The file, or the path inside an archive.
        origin: String,
        /// The fault.
        message: String,
    },
    /// A key does not sign.
    #[error("the key does not sign: {message}")]
    Signing {
        /// The fault.
        message: String,
    },
    /// A list of signers or of revoked keys does not read.
    #[error("{}, line {line}: {message}", path.display())]
    TrustFile {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The fault.
        message: String,
    },
    /// A trust policy does not read.
    #[error("{}: {message}", path.display())]
    TrustPolicy {
        /// The file.
        path: PathBuf,
        /// The fault.
        message: String,
    },
    /// The manifest does not parse or says something impossible.
    #[error("package.toml, line {line}, column {column}: {message}")]
    Manifest {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The fault.
        message: String,
    },
    /// The package has no build for this target.
    #[error("no build for target {wanted}; the package has {}", if has.is_empty() { "none".to_owned() } else { has.join(", ") })]
    NoTarget {
        /// This host's target.
        wanted: String,
        /// The targets it has.
        has: Vec<String>,
    },
    /// The library is not an object file of a known format.
    #[error("the library is not a shared library this host can read: {message}")]
    NotALibrary {
        /// The reader's error.
        message: String,
    },
    /// The library has no `.longshore` section.
    #[error("the library has no static record")]
    NoRecord,
    /// The record that an archive has of a library is not that library's.
    #[error("the archive's record for {target} is not that of its library")]
    OtherRecord {
        /// The target.
        target: String,
    },
    /// Two entries of a package would take each other's place.
    #[error("the package has two {kind}s `{name}`, in {} and in {}", modules[0], modules[1])]
    TwoEntries {
        /// `trigger`, `reactor` or `graph`.
        kind: &'static str,
        /// Their name.
        name: String,
        /// The modules they stand in.
        modules: [String; 2],
    },
    /// The static record does not read.
    #[error("the static record is broken at byte {at}: {message}")]
    BrokenRecord {
        /// Where in the section.
        at: usize,
        /// The fault.
        message: String,
    },
}

impl Error {
    /// The stable code; `longshore explain` prints its page.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "LS0101",
            Self::Write { .. } => "LS0102",
            Self::NotAnArchive { .. } => "LS0103",
            Self::OverLimit { .. } => "LS0104",
            Self::Traversal { .. } => "LS0105",
            Self::NotAFile { .. } => "LS0106",
            Self::Missing { .. } => "LS0107",
            Self::SumMismatch { .. } => "LS0108",
            Self::SumsDisagree { .. } => "LS0109",
            Self::Manifest { .. } => "LS0110",
            Self::NoTarget { .. } => "LS0111",
            Self::DuplicateName { .. } => "LS0112",
            Self::BadSum { .. } => "LS0113",
            Self::SeveralLibraries { .. } => "LS0114",
            Self::OtherBuild { .. } => "LS0115",
            Self::NoManifest => "LS0116",
            Self::BadSignature { .. } => "LS0117",
            Self::Signing { .. } => "LS0118",
            Self::TrustFile { .. } => "LS0119",
            Self::TrustPolicy { .. } => "LS0120",
            Self::OtherRecord { .. } => "LS0121",
            Self::NotALibrary { .. } => "LS0201",
            Self::NoRecord => "LS0202",
            Self::BrokenRecord { .. } => "LS0203",
            Self::TwoEntries { .. } => "LS0209",
        }
    }

    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> String {
        match self {
            Self::Read { .. } => "check that the file exists and that this user may read it".into(),
            Self::Write { .. } => "check that the folder exists, is writable and has space".into(),
            Self::NotAnArchive { .. } => "the file was cut or changed on its way: copy it again, or build it again with `longshore build`".into(),
            Self::OverLimit { .. } => "make the package smaller, or raise the limit in the host's configuration".into(),
            Self::Traversal { .. } | Self::NotAFile { .. } | Self::DuplicateName { .. } => "do not trust this archive; one made by `longshore build` has plain files only".into(),
            Self::Missing { .. } | Self::SumsDisagree { .. } | Self::BadSum { .. } | Self::SeveralLibraries { .. } => "build the archive again with `longshore build`".into(),
            Self::OtherBuild { .. } => "build each target from the same sources: `longshore build --target TRIPLE`".into(),
            Self::NoManifest => "name a .longshore file beside them; `longshore build` makes one".into(),
            Self::OtherRecord { .. } => "do not trust this archive; build it again with `longshore build`".into(),
            Self::BadSignature { origin, .. } => format!("remove or replace {origin}; `longshore sign FILE --key KEY` makes a new one"),
            Self::Signing { .. } => "use an Ed25519 or ECDSA key; `longshore keygen` makes one".into(),
            Self::TrustFile { .. } => "correct that line; `man ssh-keygen` describes the format under ALLOWED SIGNERS".into(),
            Self::TrustPolicy { .. } => "correct the file; nothing is loaded by a policy that does not read".into(),
            Self::SumMismatch { .. } => "the file was changed after the archive was made: do not trust it; build it again".into(),
            Self::Manifest { .. } => "correct that line; `[package.metadata.longshore]` in Cargo.toml is where it comes from".into(),
            Self::NoTarget { wanted, .. } => format!("build it for this host: `longshore build --target {wanted}`"),
            Self::NotALibrary { .. } => "build it again for this platform with `longshore build`".into(),
            Self::NoRecord => "call `longshore::package!()` at the crate root and build with `longshore build`".into(),
            Self::TwoEntries { .. } => "give one of them another name (`name = \"..\"`), then build it again".into(),
            Self::BrokenRecord { .. } => "the library was changed after it was built, or by a newer Longshore: build it again with this release".into(),
        }
    }
}
