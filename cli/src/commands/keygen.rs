//! `longshore keygen`.

use crate::error::CliError;
use crate::keys::ask_new;
use crate::output::{ExitStatus, Printer};
use clap::ValueEnum;
use longshore_package::Error;
use longshore_package::trust::Role;
use serde_json::json;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file of the private key; the public key gets the same name and `.pub`
    file: PathBuf,
    /// The kind of key
    #[arg(long = "type", value_enum, default_value_t)]
    kind: Kind,
    /// The identity of whoever signs with it, as allowed signers name it: an address, a name of a machine
    #[arg(long, value_name = "IDENTITY", default_value_t = default_identity())]
    identity: String,
    /// Encrypt the private key with a passphrase, asked for on the terminal or taken from LONGSHORE_KEY_PASSPHRASE
    #[arg(long)]
    passphrase: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Kind {
    #[default]
    Ed25519,
    Ecdsa,
}

fn default_identity() -> String {
    let of = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    format!("{}@{}", of("USER").unwrap_or("user".into()), of("HOSTNAME").unwrap_or("localhost".into()))
}

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let algorithm = match args.kind {
        Kind::Ed25519 => Algorithm::Ed25519,
        Kind::Ecdsa => Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    };
    let is_special = |c: char| c.is_whitespace() || c.is_control() || "\"',*?!#".contains(c);
    if args.identity.is_empty() || args.identity.contains(is_special) {
        let fault = "an identity has no blanks, quotes or commas, and is not a pattern (* ? ! #)".to_owned();
        return Err(CliError::Key { file: args.file.clone(), fault }.into());
    }
    let mut public_file = args.file.clone().into_os_string();
    public_file.push(".pub");
    let public_file = PathBuf::from(public_file);
    if let Some(there) = [&args.file, &public_file].into_iter().find(|file| file.exists()) {
        return Err(CliError::FileExists { path: there.clone() }.into());
    }
    let faulty = |error: ssh_key::Error| CliError::Key { file: args.file.clone(), fault: error.to_string() };
    let mut key = PrivateKey::random(&mut OsRng, algorithm).map_err(faulty)?;
    key.set_comment(&args.identity);
    let public = key.public_key().to_openssh().map_err(faulty)?;
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    if args.passphrase {
        let passphrase = ask_new(&args.file)?;
        key = key.encrypt(&mut OsRng, passphrase.as_bytes()).map_err(faulty)?;
    }
    let private = key.to_openssh(LineEnding::LF).map_err(faulty)?;
    write_new(&args.file, private.as_bytes(), 0o600)?;
    write_new(&public_file, format!("{public}\n").as_bytes(), 0o644)?;
    let namespaces = Role::ALL.map(Role::namespace).join(",");
    let line = format!("{} namespaces=\"{namespaces}\" {public}", args.identity);
    let document = json!({
        "file": args.file, "public": public_file, "key": fingerprint, "allowed_signer": line,
    });
    printer.print(&document, || {
        format!(
            "{fingerprint}\n{}\n\nto trust this key, add this line to a file of allowed signers:\n{line}\n",
            args.file.display()
        )
    })?;
    Ok(ExitStatus::Done)
}

/// Writes a file that is not there yet: no key is ever overwritten.
fn write_new(file: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let written =
        options.open(file).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => CliError::FileExists { path: file.to_owned() }.into(),
        _ => Error::Write { path: file.to_owned(), source }.into(),
    })
}
