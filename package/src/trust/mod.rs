//! Signatures of a package, and the policy that judges them.
//!
//! - [`Signature`]: an SSHSIG over the digest, inside the archive or beside it.
//! - [`Signers`]: the keys that may sign, in the form of OpenSSH's `allowed_signers`.
//! - [`TrustPolicy`]: the policy of a host; its [`Admission`] is pure.

mod policy;
mod signature;
mod signers;

pub use policy::{Admission, Enforcement, OnDowngrade, TrustPolicy};
pub(crate) use signature::SIGNATURES;
pub use signature::{MAX_SIGNATURE, MAX_SIGNATURES, Role, Signature, signed_text};
pub use signers::{JudgedSignature, SignatureStatus, Signers};

#[cfg(test)]
mod tests;
