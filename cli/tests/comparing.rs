//! Packages side by side: what differs, who still fits, and which version that asks for.

mod support;

use longshore_package::{HostAbi, INTERFACE_VERSION};
use std::path::{Path, PathBuf};
use support::{Crate, Longshore, build_into, hello, one_task};

/// A crate of this version whose one task does `body`.
fn version(number: &str, source: &str) -> Crate {
    let krate = Crate::of_source("steps", source);
    let manifest = krate.folder.path().join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).expect("reads");
    std::fs::write(&manifest, text.replacen("0.1.0", number, 1)).expect("writes");
    krate
}

/// Three versions, of which the last has another name for its workflow.
fn releases(folder: &Path) -> [PathBuf; 3] {
    let source = one_task("steps", "context.insert_as(\"n\", 1)");
    let retried = source.replace("retry_attempts = 1", "retry_attempts = 4");
    let renamed = source.replace("name = \"steps\"", "name = \"paces\"");
    [("1.0.0", source), ("1.1.0", retried), ("1.2.0", renamed)]
        .map(|(number, source)| build_into(&version(number, &source), folder))
}

#[test]
fn each_version_of_a_directory_is_compared_with_the_one_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second, third] = releases(folder.path());
    let longshore = Longshore::new();
    let all = longshore.run(&["diff", folder.path().to_str().expect("UTF-8"), "--json"]).json();
    let steps = |document: &serde_json::Value| -> Vec<String> {
        let comparisons = document["comparisons"].as_array().expect("comparisons").iter();
        comparisons
            .map(|compared| {
                let (from, to) = (&compared["old"]["version"], &compared["new"]["version"]);
                let step = &compared["step"];
                format!("{from} {to} {} {} {}", step["step"], step["asks_for"], step["is_enough"])
                    .replace('"', "")
            })
            .collect()
    };
    assert_eq!(steps(&all), ["1.0.0 1.1.0 minor 1.1.0 true", "1.1.0 1.2.0 major 2.0.0 false"]);
    let file = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let text = longshore.run(&["diff", &file(&first), &file(&second)]).stdout;
    assert!(text.contains("~ task public::steps::only\n      retry.attempts: 1 -> 4\n"), "{text}");
    assert!(text.contains("asks for a minor step, at least 1.1.0: 1.1.0 is enough"), "{text}");
    assert!(text.contains("hosts of Longshore 0.1.0 load it; whatever uses 1.0.0 goes on"), "{text}");
    let text = longshore.run(&["diff", &file(folder.path()), &file(&third)]).stdout;
    assert!(text.contains("steps 1.1.0 to steps 1.2.0"), "{text}");
    assert!(text.contains("- workflow public::steps  (whoever starts it gets an error)"), "{text}");
    assert!(text.contains("whatever uses 1.1.0 may have to change"), "{text}");
    let other = longshore.run(&["diff", &file(folder.path()), &file(hello()), "--json"]);
    assert_eq!(other.error_code(), "LS0711", "{}", other.stdout);
}

#[test]
fn a_file_alone_is_compared_with_what_the_host_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second, _] = releases(folder.path());
    let (first, second) = (first.to_str().expect("UTF-8"), second.to_str().expect("UTF-8"));
    let longshore = Longshore::new();
    assert_eq!(longshore.run(&["diff", second, "--json"]).error_code(), "LS0709", "there is no host yet");
    assert_eq!(longshore.run(&["run", first]).code, Some(0));
    let text = longshore.run(&["diff", second]).stdout;
    assert!(text.contains("steps 1.0.0 to steps 1.1.0"), "{text}");
    let hello = hello().to_str().expect("UTF-8");
    assert_eq!(longshore.run(&["diff", hello, "--json"]).error_code(), "LS0711");
}

#[test]
fn the_abi_of_a_package_is_that_of_the_host_that_built_it() {
    let longshore = Longshore::new();
    let host = longshore.run(&["abi", "--json"]).json();
    let package = longshore.run(&["abi", hello().to_str().expect("UTF-8"), "--json"]).json();
    for field in ["longshore", "interface", "interface_hash", "wire_hash", "compiler", "target"] {
        assert_eq!(host[field], package[field], "{field}");
    }
    assert_eq!(host["wire_hash"], HostAbi::this().wire_hash());
    assert_eq!(
        (&host["interface"], &package["findings"]),
        (&INTERFACE_VERSION.into(), &serde_json::json!([]))
    );
    assert!(host["fidius_abi"].as_u64().is_some_and(|abi| abi > 0), "{host}");
    let text = longshore.run(&["abi", hello().to_str().expect("UTF-8")]).stdout;
    assert!(text.ends_with("this host can call it\n"), "{text}");
}
