//! The trust policy, `trust.toml`: the signatures that packages need.

use crate::error::Error;
use crate::plain_file::read_text;
use crate::trust::signature::Role;
use crate::trust::signers::{JudgedSignature, SignatureStatus, Signers, matches_list};
use longshore_workflow::names::PackageName;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Largest policy, in bytes: people write it.
const MAX_POLICY: u64 = 256 << 10;

/// The treatment of a package that lacks a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// Signatures are not looked at.
    Off,
    /// It is loaded, with a warning.
    Warn,
    /// It is refused.
    Require,
}

/// The treatment of a version that is lower than the one that ran before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDowngrade {
    /// It counts as any other.
    Allow,
    /// It is refused, unless an operator asks for it.
    Refuse,
}

/// The signatures that packages need.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    policy: Enforcement,
    /// Each of them has to sign; one signature in any role is enough when there is none.
    roles: BTreeSet<Role>,
    /// Identities that count, or patterns of them; all that are allowed when there is none.
    signers: Vec<String>,
}

/// A requirement as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
struct Stated {
    policy: Option<Enforcement>,
    roles: Option<BTreeSet<Role>>,
    signers: Option<Vec<String>>,
}

impl Stated {
    /// The requirement; what a rule does not say is as it is for all.
    fn or(self, all: &Requirement) -> Result<Requirement, String> {
        let policy = self.policy.unwrap_or(all.policy);
        if policy == Enforcement::Off && (self.roles.is_some() || self.signers.is_some()) {
            return Err("`roles` and `signers` mean nothing where the policy is `off`".to_owned());
        }
        Ok(Requirement {
            policy,
            roles: self.roles.unwrap_or_else(|| all.roles.clone()),
            signers: self.signers.unwrap_or_else(|| all.signers.clone()),
        })
    }
}

/// A requirement for some packages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// Patterns of their names.
    packages: Vec<String>,
    /// Patterns of the tenants of their workflows.
    tenants: Vec<String>,
    requirement: Requirement,
}

/// A rule as it is written.
#[derive(Debug, Deserialize)]
struct RuleText {
    #[serde(default = "everything")]
    packages: Vec<String>,
    #[serde(default = "everything")]
    tenants: Vec<String>,
    #[serde(flatten)]
    stated: Stated,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

/// The text of a policy.
#[derive(Debug, Deserialize)]
struct Text {
    allowed_signers: PathBuf,
    #[serde(default)]
    revoked_keys: Vec<PathBuf>,
    downgrade: Option<OnDowngrade>,
    #[serde(default)]
    rules: Vec<RuleText>,
    #[serde(flatten)]
    stated: Stated,
}

/// A policy with the keys it goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    /// The files that it was read from.
    files: Vec<PathBuf>,
    /// The keys.
    pub signers: Signers,
    default: Requirement,
    rules: Vec<Rule>,
    /// None where what requires signatures refuses lower versions.
    downgrade: Option<OnDowngrade>,
}

/// The result of a policy for one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It asks for no signature.
    Unchecked,
    /// It has what it needs.
    Trusted {
        /// The signers, in words.
        by: Vec<String>,
    },
    /// It lacks a signature.
    Untrusted {
        /// True when it is refused for that.
        is_refused: bool,
        /// The missing signatures, then each signature with its status.
        reasons: Vec<String>,
    },
}

impl Admission {
    /// In words; none when no signature is asked for.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Unchecked => None,
            Self::Trusted { by } => Some(by.join(", ")),
            Self::Untrusted { is_refused, reasons } => {
                let all_the_same = if *is_refused { "" } else { ", and loaded all the same" };
                Some(format!("not trusted{all_the_same}: {}", reasons.join("; ")))
            }
        }
    }
}

/// The keys of a policy, and of a rule: serde cannot refuse unknown ones beside flattened fields.
const KEYS: [&str; 7] =
    ["allowed_signers", "downgrade", "policy", "revoked_keys", "roles", "rules", "signers"];
const RULE_KEYS: [&str; 5] = ["packages", "policy", "roles", "signers", "tenants"];

impl TrustPolicy {
    /// Reads a policy, and the files it names, which are relative to its folder.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TrustPolicy`], those of [`Signers::read`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bad = |message| Error::TrustPolicy { path: path.to_owned(), message };
        let policy = parse(&read_text(path, MAX_POLICY)?).map_err(bad)?;
        let (default, rules) = requirements(policy.stated, policy.rules).map_err(bad)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let allowed = folder.join(&policy.allowed_signers);
        let revoked: Vec<PathBuf> = policy.revoked_keys.iter().map(|list| folder.join(list)).collect();
        let signers = Signers::read(&allowed, &revoked)?;
        let files = [path.to_owned(), allowed].into_iter().chain(revoked).collect();
        Ok(Self { files, signers, default, rules, downgrade: policy.downgrade })
    }

    /// The policy that requires signatures in each of these roles, or in any when there is none, by one of these signers, or
    /// by anybody who may sign when there is none.
    pub fn requiring(
        signers: Signers,
        roles: impl IntoIterator<Item = Role>,
        identities: Vec<String>,
    ) -> Self {
        let policy = Enforcement::Require;
        let default = Requirement { policy, roles: roles.into_iter().collect(), signers: identities };
        Self { files: Vec::new(), signers, default, rules: Vec::new(), downgrade: None }
    }

    /// The files that it was read from: the policy first.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The treatment of lower versions of a package with workflows of these tenants. Where nothing is said, they are refused
    /// when its signatures are required.
    pub fn downgrade(&self, name: &PackageName, tenants: &BTreeSet<&str>) -> OnDowngrade {
        let is_required = || {
            let mut requirements = self.requirements_of(name, tenants).into_iter();
            requirements.any(|requirement| requirement.policy == Enforcement::Require)
        };
        match self.downgrade {
            Some(downgrade) => downgrade,
            None if is_required() => OnDowngrade::Refuse,
            None => OnDowngrade::Allow,
        }
    }

    /// Decides about a package with workflows of these tenants, by its signatures as they were judged.
    pub fn decide(
        &self,
        name: &PackageName,
        tenants: &BTreeSet<&str>,
        findings: &[JudgedSignature],
    ) -> Admission {
        let mut requirements = self.requirements_of(name, tenants);
        requirements.retain(|requirement| requirement.policy != Enforcement::Off);
        if requirements.is_empty() {
            return Admission::Unchecked;
        }
        let mut reasons = Vec::new();
        let mut is_refused = false;
        for requirement in requirements {
            let lacks = requirement.lacks(findings);
            is_refused |= !lacks.is_empty() && requirement.policy == Enforcement::Require;
            reasons.extend(lacks);
        }
        if reasons.is_empty() {
            let valid =
                findings.iter().filter(|finding| matches!(finding.status, SignatureStatus::Valid { .. }));
            return Admission::Trusted { by: valid.map(ToString::to_string).collect() };
        }
        reasons.extend(findings.iter().map(ToString::to_string));
        Admission::Untrusted { is_refused, reasons }
    }

    /// The requirements of the tenants of a package, each once.
    fn requirements_of(&self, name: &PackageName, tenants: &BTreeSet<&str>) -> Vec<&Requirement> {
        let mut requirements: Vec<&Requirement> = Vec::new();
        let public = BTreeSet::from(["public"]);
        for tenant in if tenants.is_empty() { &public } else { tenants } {
            let requirement = self.requirement_of(name, tenant);
            if !requirements.contains(&requirement) {
                requirements.push(requirement);
            }
        }
        requirements
    }

    /// The first rule for a package and a tenant, or else what counts for all.
    fn requirement_of(&self, name: &PackageName, tenant: &str) -> &Requirement {
        let matches = |rule: &&Rule| {
            let of = |patterns: &[String], name: &str| patterns.iter().any(|list| matches_list(list, name));
            of(&rule.packages, name.as_str()) && of(&rule.tenants, tenant)
        };
        self.rules.iter().find(matches).map_or(&self.default, |rule| &rule.requirement)
    }
}

impl Requirement {
    /// Signatures that are missing.
    fn lacks(&self, findings: &[JudgedSignature]) -> Vec<String> {
        let counts = |finding: &&JudgedSignature| match &finding.status {
            SignatureStatus::Valid { principals } => {
                // Either side may be a pattern: a line for a whole domain, a rule for a whole domain.
                let is_of = |identity: &String| {
                    principals.iter().any(|list| {
                        matches_list(list, identity)
                            || list.split(',').any(|principal| matches_list(identity, principal.trim()))
                    })
                };
                self.signers.is_empty() || self.signers.iter().any(is_of)
            }
            _ => false,
        };
        let counting: Vec<&JudgedSignature> = findings.iter().filter(counts).collect();
        let who = match self.signers.as_slice() {
            [] => "somebody who may sign".to_owned(),
            signers => signers.join(" or "),
        };
        if self.roles.is_empty() {
            return if counting.is_empty() { vec![format!("it is not signed by {who}")] } else { Vec::new() };
        }
        let missing = self.roles.iter().filter(|role| counting.iter().all(|f| f.role != Some(**role)));
        missing.map(|role| format!("it is not signed by {who} as its {role}")).collect()
    }
}

/// The requirement for all, which has to say what becomes of packages, and those of the rules.
fn requirements(stated: Stated, rules: Vec<RuleText>) -> Result<(Requirement, Vec<Rule>), String> {
    if stated.policy.is_none() {
        return Err("`policy` is missing: `off`, `warn` or `require`".to_owned());
    }
    let nothing = Requirement { policy: Enforcement::Off, roles: BTreeSet::new(), signers: Vec::new() };
    let all = stated.or(&nothing)?;
    let rule = |RuleText { packages, tenants, stated }| {
        Ok(Rule { packages, tenants, requirement: stated.or(&all)? })
    };
    let rules = rules.into_iter().map(rule).collect::<Result<_, String>>()?;
    Ok((all, rules))
}

fn parse(text: &str) -> Result<Text, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    check_keys(&table, &KEYS)?;
    let rules = table.get("rules").and_then(toml::Value::as_array);
    for rule in rules.into_iter().flatten().filter_map(toml::Value::as_table) {
        check_keys(rule, &RULE_KEYS)?;
    }
    toml::from_str(text).map_err(|error| error.to_string())
}

/// A key that is misspelt would be a requirement that is lost.
fn check_keys(table: &toml::Table, keys: &[&str]) -> Result<(), String> {
    match table.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown key `{key}`; there are {}", keys.join(", "))),
        None => Ok(()),
    }
}

impl fmt::Display for JudgedSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |ms: i64| {
            let time = chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default();
            time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
        };
        match (&self.status, self.role) {
            (SignatureStatus::Valid { principals }, Some(role)) => {
                return write!(f, "signed by {} as its {role} ({})", principals.join(","), self.fingerprint);
            }
            (_, Some(role)) => write!(f, "the signature of {} as its {role}: ", self.fingerprint)?,
            (_, None) => write!(f, "the signature of {}: ", self.fingerprint)?,
        }
        match &self.status {
            SignatureStatus::Valid { .. } => f.write_str("it counts"),
            SignatureStatus::Forged => f.write_str("it is not of this package"),
            SignatureStatus::UnsupportedKey => f.write_str("keys of its kind are not supported"),
            SignatureStatus::OtherNamespace => f.write_str("it was made for something else"),
            SignatureStatus::Revoked => f.write_str("its key was revoked"),
            SignatureStatus::Unknown => f.write_str("its key is not among the allowed signers"),
            SignatureStatus::NamespaceNotAllowed => f.write_str("its key may not sign in this role"),
            SignatureStatus::NotYetValid { from } => write!(f, "its key is valid from {} on", day(*from)),
            SignatureStatus::Expired { since } => write!(f, "its key was valid until {}", day(*since)),
        }
    }
}
