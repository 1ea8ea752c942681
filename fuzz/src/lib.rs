//! Targets of a fuzzer: readers of bytes of strangers. A target may refuse its input, and must not panic,
//! hang, or take memory out of proportion.
//!
//! `longshore-fuzz` mutates the corpora with the stable toolchain; `fuzz/libfuzzer` has the same targets for `cargo fuzz`,
//! which goes by coverage and needs a nightly one.

mod mutate;
mod seeds;

pub use mutate::mutate;
pub use seeds::seeds;

use longshore_package::trust::{Signature, Signers, TrustPolicy};
use longshore_package::{
    Archive, ArchiveLimits, Declared, Manifest, StaticRecord, Sums, compare, diff, read_section, sha256_hex,
};
use longshore_registry::{Index, Release, Requirement};
use longshore_workflow::private::read_frame;
use longshore_workflow_plugin::wire::{
    GraphMetadata, PollRequest, ReactorMetadata, ShellConfig, TaskMetadata, TaskRequest, TriggerMetadata,
    Wire,
};
use std::io::{Cursor, Write};
use std::path::Path;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("archive", archive),
    ("archive_files", archive_files),
    ("manifest", manifest),
    ("record", record),
    ("library", library),
    ("signature", signature),
    ("signers", signers),
    ("policy", policy),
    ("wire", wire),
    ("index", index),
];

/// Feeds an input to the target of this name.
pub fn feed(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    let (_, target) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    target(input);
}

/// Limits that let a fuzzer reach them.
const LIMITS: ArchiveLimits = ArchiveLimits {
    archive_bytes: 1 << 20,
    unpacked_bytes: 4 << 20,
    entry_bytes: 1 << 20,
    entries: 64,
    name_bytes: 255,
};

fn open(bytes: &[u8]) -> Result<Archive<Cursor<Vec<u8>>>, longshore_package::Error> {
    Archive::read(Cursor::new(bytes.to_vec()), Path::new("fuzzed"), LIMITS)
}

/// Reads everything that an archive has.
fn read_all(bytes: &[u8]) {
    let Ok(mut archive) = open(bytes) else { return };
    let _ = archive.signatures();
    for target in archive.targets() {
        let _ = archive.record(&target);
        let _ = archive.library(&target);
    }
    let _ = archive.check_files();
}

fn archive(bytes: &[u8]) {
    read_all(bytes);
}

/// Files with these names and contents, with sums that hold: what a hostile author can pack.
fn archive_files(bytes: &[u8]) {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut sums = String::new();
    for file in bytes.split(|byte| *byte == 0xff).take(16) {
        let at = file.iter().position(|byte| *byte == b'\n').unwrap_or(file.len());
        let (name, content) = (&file[..at], file.get(at + 1..).unwrap_or_default());
        let name = String::from_utf8_lossy(name).into_owned();
        if writer.start_file(name.as_str(), SimpleFileOptions::default()).is_err()
            || writer.write_all(content).is_err()
        {
            return;
        }
        sums.push_str(&format!("{}  {name}\n", sha256_hex(content)));
    }
    let ended = writer.start_file("SHA256SUMS", SimpleFileOptions::default()).is_ok()
        && writer.write_all(sums.as_bytes()).is_ok();
    if let (true, Ok(packed)) = (ended, writer.finish()) {
        read_all(packed.get_ref());
    }
}

fn manifest(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(manifest) = Manifest::parse(&text) {
        // What was read is written so that it reads as the same.
        let again = Manifest::parse(&manifest.to_toml());
        assert!(again.is_ok_and(|again| again == manifest), "{manifest:?}");
    }
    let _ = Sums::parse(&text);
}

fn record(bytes: &[u8]) {
    let Ok(record) = StaticRecord::parse(bytes) else { return };
    let _ = record.check_names();
    let _ = Declared::of_record(&record);
    let _ = longshore_package::check_compatibility(&record.package, longshore_package::Policy::Strict);
    assert!(diff(&record, &record).is_empty(), "a record differs from itself");
    let _ = compare(&record, &record);
}

fn library(bytes: &[u8]) {
    let _ = longshore_package::is_never_unmapped(bytes);
    if let Ok(section) = read_section(bytes) {
        record(section);
    }
}

fn signature(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(signatures) = Signature::parse_all(&text, "fuzzed") else { return };
    let digest = longshore_package::digest_of_files([("a", "sum")]);
    for signature in &signatures {
        let _ = (signature.fingerprint(), signature.role(), signature.is_of(&digest));
    }
    let again = Signature::parse_all(&Signature::armored_all(&signatures), "again");
    assert!(again.is_ok_and(|again| again == signatures), "a signature does not survive its text");
}

fn signers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut signers = Signers::default();
    let _ = signers.add_allowed(&text, Path::new("allowed"));
    let _ = signers.add_revoked(&text, Path::new("revoked"));
}

fn policy(bytes: &[u8]) {
    let read = || -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("trust.toml"), bytes)?;
        std::fs::write(folder.path().join("allowed"), "")?;
        let _ = TrustPolicy::read(&folder.path().join("trust.toml"));
        Ok(())
    };
    // A full disk says nothing about the policy.
    let _ = read();
}

fn wire(bytes: &[u8]) {
    let _ = read_frame(bytes);
    let _ = longshore_engine::read_reply(bytes);
    let _ = TaskRequest::decode(bytes);
    let _ = TaskMetadata::decode(bytes);
    let _ = TriggerMetadata::decode(bytes);
    let _ = ReactorMetadata::decode(bytes);
    let _ = GraphMetadata::decode(bytes);
    let _ = PollRequest::decode(bytes);
    let _ = ShellConfig::decode(bytes);
}

fn index(bytes: &[u8]) {
    let name = "p".into();
    if let Ok(index) = Index::parse(bytes, &name, "fuzzed") {
        let again = Index::parse(&index.to_bytes(), &name, "again");
        assert!(again.is_ok_and(|again| again == index), "{index:?}");
        let _ = index.releases.iter().map(Release::parsed_signatures).count();
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(requirement) = text.parse::<Requirement>() {
        let again = requirement.to_string().parse();
        assert!(again.is_ok_and(|again: Requirement| again == requirement), "{requirement:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_begins_with_is_accepted_and_what_becomes_of_it_does_no_harm() {
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name}");
            for seed in &seeds {
                target(seed);
            }
            for _ in 0..200 {
                target(&mutate(&seeds, &mut rng));
            }
        }
        assert!(
            StaticRecord::parse(&seeds("record")[0]).is_ok() && read_section(&seeds("library")[0]).is_ok()
        );
        for archive in seeds("archive") {
            let mut archive = open(&archive).expect("opens");
            assert!(archive.check_files().is_ok() && archive.record("here").is_ok());
        }
    }
}
