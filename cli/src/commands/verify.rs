//! `longshore verify`.

use crate::commands::sign::RoleArgument;
use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use longshore_package::trust::{Admission, JudgedSignature, Role, SignatureStatus, Signers, TrustPolicy};
use longshore_reconciler::artifact::{BuildChoice, ReadPackage, VerifyOptions, read};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A `.longshore` file or a library
    file: PathBuf,
    /// Keys that may sign, in the form of OpenSSH's allowed_signers
    #[arg(long, value_name = "FILE", conflicts_with = "trust")]
    allowed: Option<PathBuf>,
    /// Keys that may not sign any more: public keys or fingerprints, one a line
    #[arg(long, value_name = "FILE", requires = "allowed")]
    revoked: Vec<PathBuf>,
    /// A role that has to have signed; any is enough when none is named
    #[arg(long, value_enum, requires = "allowed")]
    role: Vec<RoleArgument>,
    /// An identity that has to have signed; any that is allowed is enough when none is named
    #[arg(long, requires = "allowed")]
    signer: Vec<String>,
    /// A trust policy; that of the home (trust.toml) when nothing else is named
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    home: Home,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let trust = policy(args)?;
    let mut package = read(&args.file, &BuildChoice::Any, &VerifyOptions::default())?;
    let files = package.check_files()?;
    let findings = package.judge(&trust);
    let admission = package.decide(&trust);
    if let Admission::Untrusted { reasons, .. } = admission {
        return Err(longshore_reconciler::Error::Untrusted { reasons }.into());
    }
    printer
        .print(&document(&package, &findings, &admission), || text(&package, files, &findings, &admission))?;
    Ok(ExitStatus::Done)
}

fn policy(args: &Args) -> anyhow::Result<TrustPolicy> {
    if let Some(allowed) = &args.allowed {
        let signers = Signers::read(allowed, &args.revoked)?;
        let roles: Vec<Role> = args.role.iter().copied().map(Role::from).collect();
        return Ok(TrustPolicy::requiring(signers, roles, args.signer.clone()));
    }
    let file = args.trust.clone().unwrap_or_else(|| args.home.trust_file());
    Ok(TrustPolicy::read(&file)?)
}

fn document(package: &ReadPackage, findings: &[JudgedSignature], admission: &Admission) -> Value {
    let finding = |finding: &JudgedSignature| {
        let principals = match &finding.status {
            SignatureStatus::Valid { principals } => principals.as_slice(),
            _ => &[],
        };
        json!({
            "key": finding.fingerprint, "role": finding.role, "principals": principals,
            "counts": !principals.is_empty(), "text": finding.to_string(),
        })
    };
    json!({
        "name": package.manifest.package.name,
        "version": package.manifest.package.version,
        "digest": package.digest,
        "targets": package.targets,
        "trusted": matches!(admission, Admission::Trusted { .. }),
        "signatures": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn text(
    package: &ReadPackage,
    files: Option<usize>,
    findings: &[JudgedSignature],
    admission: &Admission,
) -> String {
    let section = &package.manifest.package;
    let mut out = format!("{} {} ({})\n", section.name, section.version, package.digest.short());
    // Writing to a String does not fail.
    let _ = match files {
        None => writeln!(out, "  a library: it has no sums"),
        Some(files) => writeln!(out, "  intact: all {files} files match their sums"),
    };
    if matches!(admission, Admission::Unchecked) {
        let _ = writeln!(out, "  the policy asks for no signature");
    }
    for finding in findings {
        let _ = writeln!(out, "  {finding}");
    }
    out
}
