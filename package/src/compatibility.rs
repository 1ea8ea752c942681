//! Compatibility of a library with this host, decided from the library's record alone.

use crate::digest::sha256_hex;
use crate::record::PackageRecord;
use longshore_workflow_plugin::interface::INTERFACE_HASH;
use longshore_workflow_plugin::{INTERFACE_VERSION, Method, wire};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Most drifts that are told.
const MAX_DRIFTS: usize = 100;

/// The policy for findings that do not make calls wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// They are warnings.
    #[default]
    Relaxed,
    /// They are refusals.
    Strict,
}

/// One thing that differs between the package and this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// The package speaks a newer interface.
    NewerInterface {
        /// The package's version.
        package: u32,
    },
    /// The required methods differ.
    Interface {
        /// The package's hash.
        package: String,
        /// The host's hash.
        host: String,
    },
    /// A field of a wire type differs.
    Field {
        /// The wire type.
        ty: String,
        /// The field.
        field: String,
        /// Its type in the package, if it has it.
        package: Option<String>,
        /// Its type here, if it has it.
        host: Option<String>,
    },
    /// The fields are the same, in another order.
    Order {
        /// The wire type.
        ty: String,
    },
    /// The library was compiled for another platform.
    Platform {
        /// The package's.
        package: String,
        /// This host's.
        host: String,
    },
    /// A panic would end the host.
    PanicAbort,
    /// Nobody gave the linker its arguments: the library exports more than a host looks up.
    NotConfigured,
    /// The library says that it is never to be unmapped.
    NeverUnmapped,
}

impl Drift {
    /// True when a call would go wrong.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::NotConfigured | Self::NeverUnmapped)
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NewerInterface { .. } | Self::Interface { .. } => "LS0204",
            Self::Field { .. } | Self::Order { .. } => "LS0205",
            Self::Platform { .. } => "LS0206",
            Self::PanicAbort => "LS0207",
            Self::NotConfigured => "LS0208",
            Self::NeverUnmapped => "LS0210",
        }
    }

    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::NewerInterface { .. } => "use a host of at least the package's Longshore version",
            Self::Interface { .. } | Self::Field { .. } | Self::Order { .. } => {
                "build the package again with this host's Longshore version"
            }
            Self::Platform { .. } => "build the package for this host's platform",
            Self::PanicAbort => {
                "build with `panic = \"unwind\"`, the default, or give the package a process of its own (`--isolate NAME`)"
            }
            Self::NeverUnmapped => {
                "link it without `-z nodelete`, or give the package a process of its own (`--isolate NAME`)"
            }
            Self::NotConfigured => {
                "call `longshore_build::configure()` in build.rs, or build with `longshore build`"
            }
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewerInterface { package } => {
                write!(f, "the package speaks interface version {package}, this host version {INTERFACE_VERSION}")
            }
            Self::Interface { package, host } => {
                write!(f, "the required methods differ: interface hash {package} in the package, {host} here")
            }
            Self::Field { ty, field, package, host } => match (package, host) {
                (Some(package), Some(host)) => {
                    write!(f, "wire type {ty}: field `{field}` is {package} in the package and {host} here")
                }
                (Some(package), None) => {
                    write!(f, "wire type {ty}: field `{field}` ({package}) is in the package and not here")
                }
                (None, host) => write!(
                    f,
                    "wire type {ty}: field `{field}` ({}) is here and not in the package",
                    host.as_deref().unwrap_or("?")
                ),
            },
            Self::Order { ty } => write!(f, "wire type {ty}: the fields are in another order"),
            Self::Platform { package, host } => write!(f, "the library is for {package}, this host is {host}"),
            Self::PanicAbort => f.write_str("the library is built with panic = \"abort\": a panic would end the host"),
            Self::NeverUnmapped => {
                f.write_str("the library is linked with `-z nodelete`: the host gets none of its memory back")
            }
            Self::NotConfigured => {
                f.write_str("the linker got no arguments: the library may export symbols of its C dependencies and of linkme")
            }
        }
    }
}

/// The result of [`check`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compatibility {
    /// Reasons to refuse the package.
    pub refusals: Vec<Drift>,
    /// Reasons to be told.
    pub warnings: Vec<Drift>,
    /// The package's Longshore version.
    pub sdk: String,
}

/// The side of a host that packages are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAbi {
    /// The newest version of the interface that it speaks.
    pub interface_version: u32,
    /// Hash of the required methods.
    pub interface_hash: String,
    /// The fields of every wire type, one type a line.
    pub wire: String,
    /// Architecture and operating system.
    pub platform: (String, String),
}

impl HostAbi {
    /// This host's.
    pub fn this() -> Self {
        Self {
            interface_version: INTERFACE_VERSION,
            interface_hash: format!("{INTERFACE_HASH:016x}"),
            wire: wire::WIRE_SCHEMA.to_owned(),
            platform: (std::env::consts::ARCH.to_owned(), std::env::consts::OS.to_owned()),
        }
    }

    /// That of a host of the release that a package was built with, on the platform of another package.
    pub fn of_record(record: &PackageRecord, on: &PackageRecord) -> Self {
        Self {
            interface_version: record.interface_version,
            interface_hash: record.interface_hash.clone(),
            wire: record.wire.clone(),
            platform: (on.arch.clone(), on.os.clone()),
        }
    }

    /// SHA-256 of the fields of every wire type, in hex.
    pub fn wire_hash(&self) -> String {
        sha256_hex(self.wire.as_bytes())
    }
}

/// Compares a library's record with this host.
pub fn check(record: &PackageRecord, policy: Policy) -> Compatibility {
    check_on(record, &HostAbi::this(), policy)
}

/// Compares a library's record with a host.
pub fn check_on(record: &PackageRecord, host: &HostAbi, policy: Policy) -> Compatibility {
    let mut drifts = Vec::new();
    if record.interface_version > host.interface_version {
        drifts.push(Drift::NewerInterface { package: record.interface_version });
    }
    if record.interface_hash != host.interface_hash {
        let (package, host) = (record.interface_hash.clone(), host.interface_hash.clone());
        drifts.push(Drift::Interface { package, host });
    }
    drifts.extend(wire_drift(&record.wire, record.interface_version, &host.wire));
    let (arch, os) = &host.platform;
    if (&record.arch, &record.os) != (arch, os) {
        let package = format!("{} {}", record.arch, record.os);
        drifts.push(Drift::Platform { package, host: format!("{arch} {os}") });
    }
    if record.panic == "abort" {
        drifts.push(Drift::PanicAbort);
    }
    if record.configured.is_empty() {
        drifts.push(Drift::NotConfigured);
    }
    // A record of strangers may differ in thousands of places; the first say enough.
    drifts.truncate(MAX_DRIFTS);
    let (refusals, warnings) = drifts.into_iter().partition(|d| d.is_fatal() || policy == Policy::Strict);
    Compatibility { refusals, warnings, sdk: record.sdk.clone() }
}

/// Compares the wire types of the methods the package has, and those of the channel.
fn wire_drift(package: &str, interface_version: u32, host: &str) -> Vec<Drift> {
    let theirs: BTreeMap<&str, &str> = types_of(package);
    let ours: BTreeMap<&str, &str> = types_of(host);
    let methods = Method::ALL.into_iter().filter(|method| method.since() <= interface_version);
    // Version 1 has no host channel, and its records say nothing of frames.
    let channel = if interface_version < 2 { &[] } else { wire::CHANNEL_SCHEMAS };
    let spoken = methods.flat_map(wire::schemas_of).chain(channel);
    let spoken: BTreeSet<&str> = spoken.filter_map(|schema| Some(schema.split_once('{')?.0)).collect();
    let of = |types: &BTreeMap<&str, &str>, ty| types.get(ty).map_or_else(String::new, |ty| (*ty).to_owned());
    spoken.into_iter().flat_map(|ty| type_drift(ty, &of(&theirs, ty), &of(&ours, ty))).collect()
}

/// Types with their fields, from a text with one type a line.
fn types_of(wire: &str) -> BTreeMap<&str, &str> {
    wire.lines().filter_map(|line| line.split_once('{')).collect()
}

fn type_drift(ty: &str, theirs: &str, ours: &str) -> Vec<Drift> {
    if theirs == ours {
        return Vec::new();
    }
    let (theirs, ours) = (fields(theirs), fields(ours));
    let (theirs, ours): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (theirs.into_iter().collect(), ours.into_iter().collect());
    let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let drifts: Vec<Drift> = names
        .into_iter()
        .map(|field| (field, theirs.get(field).cloned(), ours.get(field).cloned()))
        .filter(|(_, package, host)| package != host)
        .map(|(field, package, host)| Drift::Field { ty: ty.to_owned(), field: field.clone(), package, host })
        .collect();
    if drifts.is_empty() { vec![Drift::Order { ty: ty.to_owned() }] } else { drifts }
}

/// The parts of a schema as (name, type): `field:type,`, `Variant(type)+payload,`, and
/// `Variant{field:type,}+payload,`, whose fields are parts of their own, named `Variant.field`.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for part in parts(text.strip_suffix('}').unwrap_or(text)) {
        if let Some((variant, (inner, payload))) =
            part.split_once('{').and_then(|(name, rest)| Some((name, rest.split_once('}')?)))
        {
            fields.push((variant.to_owned(), format!("variant{payload}")));
            let inner = parts(inner).into_iter().filter_map(|field| field.split_once(':'));
            fields.extend(inner.map(|(field, ty)| (format!("{variant}.{field}"), ty.to_owned())));
        } else if let Some((field, ty)) = part.split_once(':') {
            fields.push((field.to_owned(), ty.to_owned()));
        } else {
            let (variant, rest) = part.split_at(part.find(['(', '+']).unwrap_or(part.len()));
            fields.push((variant.to_owned(), format!("variant{rest}")));
        }
    }
    fields
}

/// The parts that commas outside brackets end.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let ends_part = |c: char| {
        match c {
            '(' | '<' | '[' | '{' => depth += 1,
            ')' | '>' | ']' | '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    text.split_terminator(ends_part).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_release() -> PackageRecord {
        PackageRecord {
            interface_version: INTERFACE_VERSION,
            interface_hash: format!("{INTERFACE_HASH:016x}"),
            wire: wire::WIRE_SCHEMA.to_owned(),
            panic: "unwind".into(),
            arch: std::env::consts::ARCH.into(),
            os: std::env::consts::OS.into(),
            configured: "0.1.0".into(),
            ..PackageRecord::default()
        }
    }

    fn refusals(record: &PackageRecord) -> Vec<String> {
        check(record, Policy::Relaxed).refusals.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_package_of_this_release_fits() {
        assert_eq!(check(&this_release(), Policy::Strict), Compatibility::default());
    }

    #[test]
    fn a_drifted_field_is_named_with_both_sides() {
        let mut record = this_release();
        record.wire = record.wire.replace("attempt:u32", "attempt:u64");
        assert_eq!(
            refusals(&record),
            ["wire type StartTask: field `attempt` is u64 in the package and u32 here"]
        );
        record.wire = record.wire.replace("attempt:u64,", "");
        assert_eq!(
            refusals(&record),
            ["wire type StartTask: field `attempt` (u32) is here and not in the package"]
        );
    }

    /// Drifts of a package as an operator reads them, each with its code and its fix.
    fn told(record: &PackageRecord, host: &HostAbi) -> String {
        let line = |drift: &Drift| format!("{}: {drift}\n  fix: {}\n", drift.code(), drift.fix());
        check_on(record, host, Policy::Relaxed).refusals.iter().map(line).collect()
    }

    #[test]
    fn the_messages_of_drift_say_what_differs_on_which_side() {
        let here = HostAbi::this();
        let mut field = this_release();
        field.wire = field.wire.replace("attempt:u32", "attempt:u64");
        let method = PackageRecord { interface_hash: "0123456789abcdef".into(), ..this_release() };
        let newer = PackageRecord { interface_version: INTERFACE_VERSION + 1, ..this_release() };
        // A package of the first interface, whose types a later host has changed.
        let mut older = this_release();
        older.interface_version = 1;
        let mut later = here.clone();
        later.wire = later.wire.replace("StartTask{", "StartTask{tenant:String,");
        let told = [
            ("a field", told(&field, &here)),
            ("a method", told(&method, &here)),
            ("a newer interface", told(&newer, &here)),
            ("an older interface", told(&older, &later)),
        ];
        let text: String = told.iter().map(|(what, text)| format!("{what}\n{text}\n")).collect();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_field_in_a_variant_and_a_payload_are_named() {
        let mut record = this_release();
        record.wire = record.wire.replace("Cancel{lease:u64,}", "Cancel{lease:u64,why:String,}");
        record.wire = record.wire.replace("Done+patch", "Done");
        assert_eq!(
            refusals(&record),
            [
                "wire type TaskReply: field `Done` is variant in the package and variant+patch here",
                "wire type TaskRequest: field `Cancel.why` (String) is in the package and not here"
            ]
        );
    }

    #[test]
    fn the_frames_and_the_channel_are_compared() {
        let mut record = this_release();
        record.wire = record.wire.replace("FrameEntry{key:u32", "FrameEntry{flags:u8,key:u32");
        record.wire = record.wire.replace("ShellConfig{workers:u32", "ShellConfig{workers:u16");
        assert_eq!(
            refusals(&record),
            [
                "wire type FrameEntry: field `flags` (u8) is in the package and not here",
                "wire type ShellConfig: field `workers` is u16 in the package and u32 here"
            ]
        );
    }

    #[test]
    fn a_record_with_thousands_of_fields_is_refused_in_few_words() {
        let fields: String = (0..5_000).map(|n| format!("f{n}:u8,")).collect();
        let record = PackageRecord { wire: format!("StartTask{{{fields}}}"), ..this_release() };
        assert_eq!(refusals(&record).len(), MAX_DRIFTS);
    }

    #[test]
    fn swapped_fields_are_drift_too() {
        let mut record = this_release();
        record.wire = record.wire.replace("lease:u64,task:u32,", "task:u32,lease:u64,");
        assert_eq!(refusals(&record), ["wire type StartTask: the fields are in another order"]);
    }

    #[test]
    fn a_package_of_version_one_needs_only_its_own_types() {
        let mut record = this_release();
        record.interface_version = 1;
        record.wire = record
            .wire
            .lines()
            .filter(|l| !l.starts_with("Trigger") && !l.starts_with("Poll"))
            .map(|l| format!("{l}\n"))
            .collect();
        assert_eq!(refusals(&record), Vec::<String>::new());
        record.interface_version = 2;
        assert!(!refusals(&record).is_empty());
    }

    #[test]
    fn an_unconfigured_library_is_a_warning_or_a_refusal_by_policy() {
        let record = PackageRecord { configured: String::new(), ..this_release() };
        assert_eq!(check(&record, Policy::Relaxed).warnings, [Drift::NotConfigured]);
        assert_eq!(check(&record, Policy::Strict).refusals, [Drift::NotConfigured]);
    }

    #[test]
    fn each_drift_has_its_code() {
        let code = |record: &PackageRecord| check(record, Policy::Relaxed).refusals[0].code();
        let newer = PackageRecord { interface_version: INTERFACE_VERSION + 1, ..this_release() };
        assert_eq!(code(&newer), "LS0204");
        assert_eq!(code(&PackageRecord { interface_hash: "0".into(), ..this_release() }), "LS0204");
        assert_eq!(code(&PackageRecord { wire: String::new(), ..this_release() }), "LS0205");
        assert_eq!(code(&PackageRecord { arch: "pdp11".into(), ..this_release() }), "LS0206");
        assert_eq!(code(&PackageRecord { os: "plan9".into(), ..this_release() }), "LS0206");
    }

    #[test]
    fn panic_abort_is_refused() {
        let record = PackageRecord { panic: "abort".into(), ..this_release() };
        assert_eq!(check(&record, Policy::Relaxed).refusals, [Drift::PanicAbort]);
    }
}
