//! Packages of other interface versions.

mod support;

use longshore_testing::{throwaway_build, throwaway_target};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Longshore, repository};

#[test]
fn a_package_of_interface_version_one_loads_and_runs() {
    let library = build_library(&repository().join("cli/tests/fixtures/v1"), "old_timer");
    let longshore = Longshore::new();
    let ended = longshore.run(&["run", library.to_str().expect("UTF-8"), "--json"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let report = ended.json();
    assert_eq!((&report["workflow"], &report["context"]["said"]), (&"old".into(), &"hello".into()));

    // Nobody gave its linker our arguments: a warning that names what it leaks, a refusal when asked for.
    let packages = longshore.run(&["packages", "--json"]).json();
    let warned =
        packages["conditions"].as_array().expect("conditions").iter().find(|c| c["type"] == "Degraded");
    assert_eq!(warned.expect("a condition")["reason"], "LS0208");
    let strict = longshore.run(&["run", library.to_str().expect("UTF-8"), "--strict", "--json"]);
    assert_eq!(strict.error_code(), "LS0208");
}

#[test]
fn a_package_whose_wire_types_have_one_more_field_each_is_refused_by_the_names_of_the_fields() {
    let copy = CopyOfTheWireTypes::with_one_more_field_each();
    let library = build_library(&copy.folder.path().join("drifted"), "drifted");
    let longshore = Longshore::new();
    let refused = longshore.run(&["run", library.to_str().expect("UTF-8"), "--json"]);
    assert_eq!(refused.error_code(), "LS0205", "{}{}", refused.stdout, refused.stderr);
    let unnamed: Vec<&String> =
        copy.added.iter().filter(|field| !refused.stdout.contains(field.as_str())).collect();
    assert_eq!(unnamed, Vec::<&String>::new(), "in {}", refused.stdout);
}

/// The crates that declare what crosses the boundary, copied and changed, and a package built against them.
struct CopyOfTheWireTypes {
    folder: tempfile::TempDir,
    /// The words by which the refusal names each added field.
    added: Vec<String>,
}

impl CopyOfTheWireTypes {
    fn with_one_more_field_each() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for krate in ["macros", "workflow", "workflow-plugin"] {
            copy_folder(&repository().join(krate), &folder.path().join(krate));
        }
        fs::copy(repository().join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("a lock file");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("writes");
        };
        write("Cargo.toml", &workspace_manifest());
        // Of the shell only the declarations are built: its code does not know the added fields.
        write("workflow-plugin/src/lib.rs", "#![allow(warnings)] pub mod interface; pub mod wire;");
        write("drifted/Cargo.toml", DRIFTED_MANIFEST);
        write("drifted/src/lib.rs", DRIFTED_PACKAGE);
        let mut added = Vec::new();
        for declarations in [
            "workflow/src/context/frame.rs",
            "workflow-plugin/src/wire/graph.rs",
            "workflow-plugin/src/wire/metadata.rs",
            "workflow-plugin/src/wire/task.rs",
        ] {
            let text = fs::read_to_string(folder.path().join(declarations)).expect("a source");
            write(declarations, &add_fields(&text, &mut added));
        }
        assert!(added.len() > 30, "the declarations were not found: {added:?}");
        Self { folder, added }
    }
}

/// Puts a field `added` first into every type and variant with fields that the wire macros declare, and a
/// variant `Added` first into every enum.
fn add_fields(source: &str, added: &mut Vec<String>) -> String {
    let mut out = String::new();
    // The type whose declaration goes on, and whether it is an enum.
    let mut declared: Option<(String, bool)> = None;
    for line in source.lines() {
        let indent = line.len() - line.trim_start().len();
        let opened = line.trim().strip_suffix(" {").filter(|name| name.chars().all(char::is_alphanumeric));
        writeln!(out, "{line}").expect("writes");
        match (line, opened, &declared) {
            ("wire_struct! {" | "wire_enum! {", ..) => {
                declared = Some((String::new(), line.starts_with("wire_enum")));
            }
            ("}", ..) => declared = None,
            (_, Some(name), Some((_, false))) if indent == 4 => {
                writeln!(out, "/// Added.\nadded: u8,").expect("writes");
                added.push(format!("wire type {name}: field `added` (u8)"));
            }
            (_, Some(name), Some((_, true))) if indent == 4 => {
                writeln!(out, "/// Added.\nAdded,").expect("writes");
                added.push(format!("wire type {name}: field `Added` (variant)"));
                declared = Some((name.to_owned(), true));
            }
            (_, Some(variant), Some((name, true))) if indent == 8 => {
                writeln!(out, "/// Added.\nadded: u8,").expect("writes");
                added.push(format!("wire type {name}: field `{variant}.added` (u8)"));
            }
            _ => {}
        }
    }
    out.replace("let EventHeader { bytes }", "let EventHeader { bytes, .. }")
        .replace("EventHeader { bytes:", "EventHeader { added: 0, bytes:")
        .replace("FrameHeader { entries:", "FrameHeader { added: 0, entries:")
        .replace("FrameEntry { key:", "FrameEntry { added: 0, key:")
}

/// The workspace's manifest, with the copied members alone.
fn workspace_manifest() -> String {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).expect("a manifest");
    let (workspace, _) = manifest.split_once("[package]").expect("the facade's part");
    let (before, members) = workspace.split_once("members = [").expect("members");
    let (_, after) = members.split_once(']').expect("an end of members");
    format!("{before}members = [\"macros\", \"workflow\", \"workflow-plugin\", \"drifted\"]{after}")
}

const DRIFTED_MANIFEST: &str = r#"
[package]
name = "drifted"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[features]
default = ["packaged"]
packaged = []

[dependencies]
longshore-workflow = { workspace = true, features = ["packaged"] }
longshore-workflow-plugin.workspace = true
"#;

const DRIFTED_PACKAGE: &str = r#"
use longshore_workflow::private::record;
record! {
    Package,
    "name" => "drifted",
    "version" => "0.1.0",
    "sdk" => "0.1.0",
    "interface_version" => "2",
    "interface_hash" => longshore_workflow_plugin::interface::INTERFACE_HASH_TEXT,
    "wire" => longshore_workflow_plugin::wire::WIRE_SCHEMA,
    "panic" => "unwind",
    "arch" => std::env::consts::ARCH,
    "os" => std::env::consts::OS,
}
record! { Workflow, "module" => "drifted", "name" => "flow", "tenant" => "public", "params" => "[]" }
"#;

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            fs::copy(&path, &copy).expect("copies");
        }
    }
}

/// Builds a crate that is not a package of ours; the library's path.
fn build_library(folder: &Path, name: &str) -> PathBuf {
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .envs(throwaway_build())
        .status();
    assert!(status.is_ok_and(|s| s.success()));
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    throwaway_target().join("debug").join(format!("{prefix}{name}{suffix}"))
}
