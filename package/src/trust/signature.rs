//! [`Signature`]: an SSHSIG over the digest of a package.
//!
//! The format: OpenSSH, PROTOCOL.sshsig. What is signed is the digest as text and a newline, so that
//! `ssh-keygen -Y verify` checks it with nothing but the digest.

use crate::error::Error;
use longshore_workflow::names::Digest;
use serde::{Deserialize, Serialize};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use std::fmt;

/// Longest armored signature, in bytes: those of hardware keys are a tenth of it.
pub const MAX_SIGNATURE: usize = 16 << 10;

/// Most signatures of a package: each is checked before anything else is known of it.
pub const MAX_SIGNATURES: usize = 16;

/// The beginning of the paths of signatures in an archive.
pub(crate) const SIGNATURES: &str = "signatures/";

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// The role in which somebody signs a package: the namespace of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The author of a package: namespace `longshore`.
    Author,
    /// The person or machine that built it: namespace `longshore-builder`.
    Builder,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 2] = [Self::Author, Self::Builder];

    /// The namespace of its signatures.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Author => "longshore",
            Self::Builder => "longshore-builder",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Author => "author",
            Self::Builder => "builder",
        })
    }
}

/// A signature over the digest of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(SshSig);

/// The bytes that a signature of a digest is over.
pub fn signed_text(digest: &Digest) -> String {
    format!("{digest}\n")
}

impl Signature {
    /// Signs a digest.
    ///
    /// # Errors
    /// [`Error::Signing`] for a key that is encrypted, on a token, or of a kind that is not signed with here.
    pub fn sign(key: &PrivateKey, role: Role, digest: &Digest) -> Result<Self, Error> {
        let signed = key.sign(role.namespace(), HashAlg::Sha512, signed_text(digest).as_bytes());
        signed.map(Self).map_err(|error| Error::Signing { message: error.to_string() })
    }

    /// Reads armored signatures, one after the other. `origin` is for messages.
    ///
    /// # Errors
    /// [`Error::BadSignature`], [`Error::OverLimit`].
    pub fn parse_all(text: &str, origin: &str) -> Result<Vec<Self>, Error> {
        let bad = |message: &str| Error::BadSignature { origin: origin.to_owned(), message: message.into() };
        let mut signatures = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            if !rest.starts_with(BEGIN) {
                return Err(bad("it is not an armored SSH signature"));
            }
            let end = rest.find(END).ok_or_else(|| bad("it is cut"))? + END.len();
            if end > MAX_SIGNATURE {
                return Err(over("the size of a signature", end, MAX_SIGNATURE));
            }
            if signatures.len() == MAX_SIGNATURES {
                return Err(over("the number of signatures", MAX_SIGNATURES + 1, MAX_SIGNATURES));
            }
            let signature = SshSig::from_pem(&rest[..end]).map_err(|error| bad(&error.to_string()))?;
            signatures.push(Self(signature));
            rest = rest[end..].trim_start();
        }
        Ok(signatures)
    }

    /// The armored text, with a newline at its end.
    pub fn armored(&self) -> String {
        let mut text = self.0.to_pem(LineEnding::LF).unwrap_or_default();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    /// Signatures as one text, which [`Signature::parse_all`] reads.
    pub fn armored_all(signatures: &[Self]) -> String {
        signatures.iter().map(Self::armored).collect()
    }

    /// The key that it says it was made with.
    pub fn key(&self) -> PublicKey {
        self.0.public_key().clone().into()
    }

    /// The fingerprint of that key, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.0.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.0.namespace()
    }

    /// The role of whoever signed; none when it is not a signature of packages.
    pub fn role(&self) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.namespace() == self.namespace())
    }

    /// True of a kind of key that is verified here: Ed25519 and ECDSA on P-256 and P-384, also on hardware tokens.
    pub(super) fn is_supported(&self) -> bool {
        match self.key().algorithm() {
            Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => true,
            Algorithm::Ecdsa { curve } => curve != EcdsaCurve::NistP521,
            _ => false,
        }
    }

    /// True when it is the signature of a digest by the key that it names.
    pub fn is_of(&self, digest: &Digest) -> bool {
        self.key().verify(self.namespace(), signed_text(digest).as_bytes(), &self.0).is_ok()
    }

    /// True of two signatures of the same key in the same role: one of them is enough.
    pub fn is_of_same_key(&self, other: &Self) -> bool {
        self.0.public_key() == other.0.public_key() && self.namespace() == other.namespace()
    }

    /// The name of its file in an archive.
    pub(crate) fn file_name(&self) -> String {
        // A fingerprint has characters that file names have not.
        let key: String = self.fingerprint().chars().filter(char::is_ascii_alphanumeric).collect();
        let role = self.role().map_or_else(|| "other".to_owned(), |role| role.to_string());
        format!("{role}-{key}.sig")
    }
}

fn over(what: &str, actual: usize, limit: usize) -> Error {
    Error::OverLimit { what: what.to_owned(), actual: actual as u64, limit: limit as u64 }
}
