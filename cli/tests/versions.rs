//! Packages of other interface versions.

mod support;

use std::process::Command;
use support::{Longshore, repository};

#[test]
fn a_package_of_interface_version_one_loads_and_runs() {
    let folder = repository().join("cli/tests/fixtures/v1");
    let target = repository().join("target/throwaway");
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .status();
    assert!(status.is_ok_and(|s| s.success()));
    let name = format!("{}old_timer{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = target.join("debug").join(name);
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
