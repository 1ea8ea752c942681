//! The checks before loading: archive, digest, manifest, target, artifact cache, static record, compatibility.
//! Nothing here runs a line of the package.

pub(crate) mod assets;
pub(crate) mod cache;
pub(crate) mod policy;
pub(crate) mod read;
pub(crate) mod verify;

pub use cache::VerifiedArtifact;
pub use policy::{IsolationPolicy, VerifyOptions};
pub use read::{Build, ReadPackage, identify, read};
pub use verify::{VerifiedPackage, from_cache, verify};
