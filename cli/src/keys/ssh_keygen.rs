//! Signatures by `ssh-keygen -Y sign`: it finds agents and hardware tokens, and asks for touches and PINs.

use crate::error::CliError;
use longshore_package::Digest;
use longshore_package::trust::{Role, Signature, signed_text};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

pub(super) fn sign(file: &Path, role: Role, digest: &Digest) -> anyhow::Result<Signature> {
    let failed = |fault: String| CliError::Key { file: file.to_owned(), fault };
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "sign", "-n", role.namespace(), "-f"]).arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    // A person at a terminal is asked to touch a token.
    let has_person = std::io::stderr().is_terminal();
    command.stderr(if has_person { Stdio::inherit() } else { Stdio::piped() });
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => failed(
            "`ssh-keygen` signs with it, and is not installed (Debian and Ubuntu: openssh-client)".to_owned(),
        ),
        _ => failed(format!("`ssh-keygen` could not be started: {error}")),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended before it read says why.
        let _ = stdin.write_all(signed_text(digest).as_bytes());
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().filter(|line| !line.starts_with("Signing")).collect::<Vec<_>>().join("; ");
        return Err(failed(format!("ssh-keygen: {said}")).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut signatures = Signature::parse_all(&text, "what ssh-keygen printed")?;
    let signature = signatures.pop();
    Ok(signature.ok_or_else(|| failed("ssh-keygen printed no signature".to_owned()))?)
}
