//! A crate whose whole package is written by a macro of another crate.

mod support;

use std::process::Command;
use support::{Crate, Longshore};

const MANIFEST: &str = "[package]\nname = \"generated\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
    flows = { path = \"flows\" }\nlongshore = { path = \"REPOSITORY\" }\n\n[workspace]\n\n\
    [profile.dev]\ndebug = false\n";

const FLOWS_MANIFEST: &str = "[package]\nname = \"flows\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n\
    longshore = { path = \"REPOSITORY\" }\nserde_json = \"1\"\n";

#[test]
fn a_package_that_a_macro_of_another_crate_writes_compiles_without_a_warning_and_runs() {
    let krate = Crate::new(&[
        ("Cargo.toml", MANIFEST),
        ("src/lib.rs", include_str!("fixtures/generated/lib.rs")),
        ("flows/Cargo.toml", FLOWS_MANIFEST),
        ("flows/src/lib.rs", include_str!("fixtures/generated/flows.rs")),
    ]);
    let longshore = Longshore::new();
    let run = |workflow: &str| {
        let ended = longshore.run(&["run", krate.path(), "--workflow", workflow, "--json"]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
        ended.json()["context"].clone()
    };
    let numbers = run("numbers");
    assert_eq!(
        (&numbers["first"], &numbers["second"], &numbers["third"]),
        (&2.into(), &11.into(), &101.into())
    );
    assert_eq!(run("handed")["after"], true);
    let graph = longshore.run(&["graphs", "show", "looking"]).stdout;
    assert!(graph.contains("fired by reactor watch") && graph.contains("look(feed)"), "{graph}");

    let mut clippy = Command::new(env!("CARGO"));
    clippy
        .args(["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"])
        .current_dir(krate.folder.path());
    let checked = clippy.envs(longshore_testing::throwaway_build()).output().expect("cargo starts");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
