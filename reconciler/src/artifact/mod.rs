//! The checks before loading: archive, digest, manifest, target, artifact cache, static record, compatibility.
//! Nothing here runs a line of the package.

pub(crate) mod cache;
pub(crate) mod policy;
pub(crate) mod verify;

pub use cache::VerifiedArtifact;
pub use policy::{IsolationPolicy, VerifyOptions};
pub use verify::{VerifiedPackage, from_cache, identify, targets, verify, verify_for};
