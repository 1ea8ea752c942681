//! A crate: what its build needs, and what it says.

use super::finding::Finding;
use crate::packaging::{check, prebuilt_of, tools};
use longshore_package::trust::Signers;
use longshore_registry::open;
use std::path::Path;

pub(super) async fn look(path: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    match tools(path) {
        Err(error) => findings.push(Finding::fault("cargo", &error)),
        Ok(tools) => {
            findings.push(Finding::ok("cargo", tools.cargo.display().to_string()));
            if let Some(other) = tools.shadowed.first() {
                let message = format!("{} is not used: the first on the PATH is", other.display());
                findings.push(Finding::warning(
                    "cargo",
                    message,
                    "remove one, or name one in the variable CARGO",
                ));
            }
            match tools.compiler {
                Some(compiler) => findings.push(Finding::ok("compiler", compiler)),
                None => {
                    findings.push(Finding::warning("compiler", "it does not start", "`rustc -vV` says why"))
                }
            }
            if let Some(missing) = tools.missing_linker {
                let fix = "install a C compiler (Debian: gcc libc6-dev), or name a linker in the configuration of cargo";
                findings.push(Finding::warning("linker", format!("there is no {missing} on the PATH"), fix));
            }
        }
    }
    findings.push(Finding::of("crate", check(path), |package| {
        format!("{} {} can be built into a package", package.name, package.version)
    }));
    if let Ok(Some(prebuilt)) = prebuilt_of(path) {
        let keys = Signers::read(&prebuilt.keys, &[] as &[&Path]).map_err(anyhow::Error::from);
        findings.push(Finding::of("prebuilt keys", keys, |_| prebuilt.keys.display().to_string()));
        let registry = async { Ok(open(&prebuilt.url).await?.names().await?) };
        findings.push(Finding::of("prebuilt registry", registry.await, |_| prebuilt.url.clone()));
    }
    findings
}
