//! `longshore dev`: from a saved file to a result.

mod support;

use std::process::Stdio;
use support::{Crate, Longshore, Running, one_task};

#[test]
fn a_saved_file_is_built_swapped_and_run_and_a_broken_one_leaves_the_version_before() {
    let longshore = Longshore::new();
    let source = |body: &str| one_task("saved", body);
    let krate = Crate::of_source("saved", &source("context.insert_as(\"answer\", 1)"));
    let save = |text: &str| std::fs::write(krate.folder.path().join("src/lib.rs"), text).expect("writes");
    let said =
        || std::fs::read_to_string(longshore.home.path().join("out")).unwrap_or_default() + &longshore.log();
    let out = std::fs::File::create(longshore.home.path().join("out")).expect("makes");
    let log = std::fs::File::create(longshore.home.path().join("log")).expect("makes");
    let mut command = longshore.command(&["dev", krate.path()]);
    command.stdout(Stdio::from(out)).stderr(Stdio::from(log));
    let dev = Running(command.spawn().expect("starts"));
    longshore.wait_until("the first result", || said().contains("answer = 1"));

    save(&source("this is not Rust"));
    longshore.wait_until("the error of the compiler", || said().contains("LS0703"));
    save(&source("context.insert_as(\"answer\", 2)"));
    longshore.wait_until("what is another value", || said().contains("~ answer: 1 -> 2"));
    save(&source("context.insert_as(\"answer\", 2)").replace("fn only", "fn other"));
    longshore.wait_until("what is another entry", || said().contains("other"));
    longshore.wait_until("the third result", || said().matches("waiting for a change").count() >= 4);
    dev.signal("-INT");
    assert_eq!(dev.wait(), Some(0), "{}", said());
    // Nothing of it is among what is run or served in that home.
    assert!(longshore.runs().is_empty());
}
