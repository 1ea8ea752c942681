//! The checks before loading: archive, digest, manifest, target, static record, signatures and trust, compatibility,
//! artifact cache.
//! Nothing here runs a line of the package.

pub(crate) mod assets;
pub(crate) mod cache;
pub(crate) mod policy;
pub(crate) mod read;
pub(crate) mod trust;
pub(crate) mod verify;
pub(crate) mod warning;

pub use cache::VerifiedArtifact;
pub use policy::{IsolationPolicy, Recorded, VerifyOptions};
pub use read::{BuildChoice, ReadPackage, detached_signatures, identify, read, signature_file};
pub use trust::TrustPolicyFile;
pub use verify::{VerifiedPackage, from_cache, recorded_signatures, verify};
pub use warning::Warning;
