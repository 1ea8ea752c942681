//! `longshore db`: what is deleted, copied and checked.

mod support;

use support::{Longshore, hello};

#[test]
fn a_database_is_checked_copied_pruned_and_vacuumed() {
    let longshore = Longshore::new();
    let file = hello().to_str().expect("UTF-8");
    assert_eq!(longshore.run(&["run", file, "--json"]).code, Some(0));
    assert_eq!(longshore.run(&["run", file, "--json"]).code, Some(0));
    assert_eq!(longshore.run(&["db", "check", "--json"]).json()["runs"], 2);

    let copy = longshore.home.path().join("copy.db");
    let copy = copy.to_str().expect("UTF-8");
    let copied = longshore.run(&["db", "backup", copy, "--json"]);
    assert_eq!(copied.code, Some(0), "{}{}", copied.stdout, copied.stderr);
    assert_eq!(
        longshore.run(&["db", "backup", copy, "--json"]).error_code(),
        "LS0707",
        "it is there already"
    );
    let url = format!("sqlite:{copy}");
    let listed = longshore.run(&["runs", "list", "--database", &url, "--json"]).json();
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(2));

    assert_eq!(longshore.run(&["db", "prune", "--keep-all", "--json"]).json()["runs"], 0);
    let prune = ["db", "prune", "--keep-newest", "1", "--actor", "alice", "--reason", "the disk", "--json"];
    assert_eq!(longshore.run(&prune).json()["runs"], 1);
    let checked = longshore.run(&["db", "check"]).stdout;
    assert!(checked.contains("deleted 1 runs,") && checked.contains("for alice: the disk"), "{checked}");
    assert_eq!(longshore.runs().len(), 1);
    let vacuumed = longshore.run(&["db", "vacuum", "--json"]);
    assert_eq!(vacuumed.code, Some(0), "{}{}", vacuumed.stdout, vacuumed.stderr);
}
