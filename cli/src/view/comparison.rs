//! Two packages side by side.

use longshore_package::{
    Comparison, Digest, PackageName, StaticRecord, Step, compare, is_enough, next_version,
};
use semver::Version;
use serde_json::{Value, json};
use std::fmt::Write;

/// A package as far as it is compared.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) digest: Digest,
    pub(crate) target: String,
    pub(crate) record: StaticRecord,
}

impl Package {
    pub(crate) fn name(&self) -> PackageName {
        self.record.package.name.as_str().into()
    }

    /// None when it is not a version: records come from strangers.
    pub(crate) fn version(&self) -> Option<Version> {
        Version::parse(&self.record.package.version).ok()
    }

    fn title(&self) -> String {
        format!("{} {}", self.record.package.name, self.record.package.version)
    }

    fn document(&self) -> Value {
        let package = &self.record.package;
        let (name, version) = (&package.name, &package.version);
        json!({ "name": name, "version": version, "digest": self.digest, "target": self.target })
    }
}

/// Two packages, compared.
#[derive(Debug)]
pub(crate) struct Compared {
    old: Package,
    new: Package,
    comparison: Comparison,
    step: Option<VersionStep>,
}

/// The step that the changes ask for.
#[derive(Debug)]
struct VersionStep {
    step: Step,
    asks_for: Version,
    is_enough: bool,
}

impl Compared {
    pub(crate) fn of(old: &Package, new: &Package) -> Self {
        let comparison = compare(&old.record, &new.record);
        // Other bytes under the same record: a dependency, or code that no entry's fingerprint covers.
        let step = comparison.step.or_else(|| (old.digest != new.digest).then_some(Step::Patch));
        let versions = old.version().zip(new.version()).filter(|_| old.name() == new.name());
        let step = step.zip(versions).map(|(step, (from, to))| VersionStep {
            step,
            asks_for: next_version(&from, step),
            is_enough: is_enough(&from, &to, step),
        });
        Self { old: old.clone(), new: new.clone(), comparison, step }
    }
}

/// As JSON.
pub(crate) fn document(compared: &Compared) -> Value {
    let Compared { old, new, comparison, step } = compared;
    let mut document = json!(comparison);
    document["old"] = old.document();
    document["new"] = new.document();
    document["step"] = json!(step.as_ref().map(|step| json!({
        "step": step.step, "asks_for": step.asks_for.to_string(), "is_enough": step.is_enough,
    })));
    document
}

/// For a person.
pub(crate) fn text(compared: &Compared) -> String {
    let Compared { old, new, comparison, step } = compared;
    let mut out = format!("{} to {}\n", old.title(), new.title());
    if old.target != new.target {
        // Writing to a String does not fail.
        let _ = writeln!(out, "  the build for {} with the one for {}", old.target, new.target);
    }
    out.push_str(&super::changes::text(&comparison.changes));
    for field in &comparison.build {
        let _ = writeln!(out, "  ~ build  {field}");
    }
    let _ = writeln!(out, "\n  {}", fits_text(compared));
    if let Some(VersionStep { step, asks_for, is_enough }) = step {
        let new = &new.record.package.version;
        let verdict = if *is_enough { format!("{new} is enough") } else { format!("{new} is not enough") };
        let _ = writeln!(out, "  asks for a {step} step, at least {asks_for}: {verdict}");
    }
    out
}

fn fits_text(compared: &Compared) -> String {
    let Comparison { fits_old_hosts, fits_old_packages, .. } = compared.comparison;
    let old = &compared.old.record.package;
    let hosts = match (fits_old_hosts, old.sdk.as_str()) {
        (true, sdk) => format!("hosts of Longshore {sdk} load it"),
        (false, sdk) => format!("hosts of Longshore {sdk} refuse it"),
    };
    let packages = if fits_old_packages {
        format!("whatever uses {} goes on", old.version)
    } else {
        format!("whatever uses {} may have to change", old.version)
    };
    format!("{hosts}; {packages}")
}
