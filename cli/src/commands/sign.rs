//! `longshore sign`.

use crate::keys::sign;
use crate::output::{ExitStatus, Printer};
use crate::replace::replace;
use clap::ValueEnum;
use longshore_package::trust::{Role, Signature};
use longshore_package::{Error, check_signature_count, with_signatures};
use longshore_reconciler::artifact::{BuildChoice, VerifyOptions, detached_signatures, read, signature_file};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A `.longshore` file or a library
    file: PathBuf,
    /// A private key of this user, or a public key (.pub) whose private half an agent or a hardware token has
    #[arg(long)]
    key: PathBuf,
    /// The role in which the key signs
    #[arg(long, value_enum, default_value_t)]
    role: RoleArgument,
    /// Write the signature beside the file, into FILE.sig, and not into it; a library has no other place
    #[arg(long)]
    detached: bool,
}

const EXAMPLES: &str = "What is signed is the digest and a newline, in the namespace `longshore` (author) or `longshore-builder`: \
    `ssh-keygen -Y verify` checks FILE.sig with the digest that `longshore inspect FILE --digest` prints.\n\
    A passphrase is asked for on the terminal, or taken from LONGSHORE_KEY_PASSPHRASE.";

/// The role in which somebody signs.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum RoleArgument {
    /// The author of the package
    #[default]
    Author,
    /// The person or machine that built it
    Builder,
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Self {
        match role {
            RoleArgument::Author => Self::Author,
            RoleArgument::Builder => Self::Builder,
        }
    }
}

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut read = read(&args.file, &BuildChoice::Any, &VerifyOptions::default())?;
    // Hosts refuse what is not whole.
    read.check_files()?;
    let (digest, package) = (&read.digest, &read.manifest.package);
    let role = Role::from(args.role);
    let signature = sign(&args.key, role, digest)?;
    let place = if args.detached || read.is_library() {
        write_beside(&args.file, &signature, read.signatures.len())?
    } else {
        write_into(&args.file, &signature)?
    };
    let fingerprint = signature.fingerprint();
    let document = json!({
        "file": place, "digest": digest, "role": role, "key": fingerprint, "name": package.name,
        "version": package.version,
    });
    printer.print(&document, || {
        let short = digest.short();
        format!(
            "{} {} ({short}) signed as its {role} by {fingerprint}\n{}\n",
            package.name,
            package.version,
            place.display()
        )
    })?;
    Ok(ExitStatus::Done)
}

fn write_into(file: &Path, signature: &Signature) -> anyhow::Result<PathBuf> {
    let archive = std::fs::read(file).map_err(|source| Error::Read { path: file.to_owned(), source })?;
    let signed = with_signatures(&archive, std::slice::from_ref(signature), file)?;
    replace(file, &signed)?;
    Ok(file.to_owned())
}

/// Writes a signature beside a file, after those that are there; one of the same key and role takes the place of the other. The
/// package has so many, inside and beside it.
fn write_beside(file: &Path, signature: &Signature, has: usize) -> anyhow::Result<PathBuf> {
    let place = signature_file(file);
    let beside = detached_signatures(file)?;
    let others: Vec<&Signature> = beside.iter().filter(|other| !other.is_of_same_key(signature)).collect();
    check_signature_count(has - beside.len() + others.len() + 1)?;
    let text: String = others.into_iter().chain([signature]).map(Signature::armored).collect();
    replace(&place, text.as_bytes())?;
    Ok(place)
}
