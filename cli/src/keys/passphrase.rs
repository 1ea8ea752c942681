//! Passphrases, from the environment or the terminal: never from the command line, which others can see.

use crate::error::CliError;
use console::Term;
use std::path::Path;
use zeroize::Zeroizing;

/// The variable with the passphrase of a key; it comes before the terminal.
const PASSPHRASE: &str = "LONGSHORE_KEY_PASSPHRASE";

/// The passphrase of a key.
pub(super) fn ask(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    match given() {
        Some(passphrase) => Ok(passphrase),
        None => prompt(&format!("passphrase of {}: ", file.display()), file),
    }
}

/// A passphrase for a new key, asked for twice.
pub(crate) fn ask_new(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    if let Some(passphrase) = given() {
        return Ok(passphrase);
    }
    let first = prompt("passphrase of the new key: ", file)?;
    let again = prompt("once more: ", file)?;
    if first.is_empty() || first != again {
        let fault = if first.is_empty() { "the passphrase is empty" } else { "the passphrases differ" };
        return Err(CliError::Key { file: file.to_owned(), fault: fault.to_owned() }.into());
    }
    Ok(first)
}

fn given() -> Option<Zeroizing<String>> {
    std::env::var(PASSPHRASE).ok().filter(|given| !given.is_empty()).map(Zeroizing::new)
}

fn prompt(text: &str, file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let terminal = Term::stderr();
    if !terminal.is_term() {
        let fault =
            format!("it has a passphrase, and there is no terminal to ask for it; {PASSPHRASE} may say it");
        return Err(CliError::Key { file: file.to_owned(), fault }.into());
    }
    terminal.write_str(text)?;
    Ok(Zeroizing::new(terminal.read_secure_line()?))
}
