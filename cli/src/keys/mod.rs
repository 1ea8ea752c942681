//! Keys that sign packages: files of this user, agents, hardware tokens.
//!
//! A key that lies in a file and is of a kind that is signed with here is used here. Everything else (a public key whose
//! private half an agent or a token has) goes through `ssh-keygen -Y sign`, which speaks to all of them.

mod passphrase;
mod ssh_keygen;

pub(crate) use passphrase::ask_new;

use crate::error::CliError;
use longshore_package::Digest;
use longshore_package::trust::{Role, Signature};
use passphrase::ask;
use ssh_key::{Algorithm, EcdsaCurve, PrivateKey};
use std::fs;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// Largest key file, in bytes.
const MAX_KEY: u64 = 64 << 10;

/// The beginning of the private keys that are used here.
const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";

/// Signs a digest with the key of a file.
pub(crate) fn sign(file: &Path, role: Role, digest: &Digest) -> anyhow::Result<Signature> {
    let text = read(file)?;
    let is_private = text.trim_start().starts_with(OPENSSH);
    let key = if is_private { usable(private(file, &text)?, file)? } else { None };
    let signature = match key {
        Some(key) => Signature::sign(&key, role, digest)?,
        None => ssh_keygen::sign(file, role, digest)?,
    };
    // Whatever made it: what does not verify here would not verify anywhere.
    if signature.is_of(digest) && signature.role() == Some(role) {
        Ok(signature)
    } else {
        Err(fault(file, "what it signs does not verify here: only Ed25519 keys, and ECDSA keys on P-256 and P-384, are supported").into())
    }
}

fn fault(file: &Path, fault: &str) -> CliError {
    CliError::Key { file: file.to_owned(), fault: fault.to_owned() }
}

fn read(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let unreadable = |source| longshore_package::Error::Read { path: file.to_owned(), source };
    let opened = fs::File::open(file).map_err(unreadable)?;
    check_owner(file, &opened.metadata().map_err(unreadable)?)?;
    let mut text = Zeroizing::new(String::new());
    // The error must not quote a private key.
    let read = opened.take(MAX_KEY).read_to_string(&mut text);
    read.map_err(|_| fault(file, "it is not a key: it is not text"))?;
    Ok(text)
}

/// Refuses a key of another user, and a private key that others may read, as `ssh` does.
#[cfg(unix)]
fn check_owner(file: &Path, metadata: &fs::Metadata) -> Result<(), CliError> {
    use std::os::unix::fs::MetadataExt;
    let owner = metadata.uid();
    if owner != nix::unistd::geteuid().as_raw() {
        return Err(fault(file, &format!("it belongs to user {owner}")));
    }
    let is_public = file.extension().is_some_and(|extension| extension == "pub");
    if !is_public && metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(fault(file, &format!("others may read it (mode {mode:o}); `chmod 600` it")));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_: &Path, _: &fs::Metadata) -> Result<(), CliError> {
    Ok(())
}

fn private(file: &Path, text: &str) -> anyhow::Result<PrivateKey> {
    PrivateKey::from_openssh(text.trim())
        .map_err(|error| fault(file, &format!("it does not read: {error}")).into())
}

/// The key ready to sign; none when it is of a kind that is not signed with here.
fn usable(key: PrivateKey, file: &Path) -> anyhow::Result<Option<PrivateKey>> {
    let is_usable = matches!(
        key.algorithm(),
        Algorithm::Ed25519 | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384 }
    );
    if !is_usable || !key.is_encrypted() {
        return Ok(is_usable.then_some(key));
    }
    let passphrase = ask(file)?;
    let opened = key.decrypt(passphrase.as_bytes());
    Ok(Some(opened.map_err(|_| fault(file, "the passphrase is not that of the key"))?))
}
