//! Starting and firing on a serving host, and finding the runs again.

mod support;

use serde_json::Value;
use support::{Crate, Longshore, build_into, one_task};

/// A workflow with typed params, and a trigger that fires it once a year.
fn zips() -> String {
    let body = "if context.get_as::<String>(\"zip\")?.as_deref() == Some(\"0000\") {\n            \
                return Err(TaskError::failed(\"no such place\"));\n        }\n        Ok(())";
    let source = one_task("zips", body).replace(
        "name = \"zips\")",
        "name = \"zips\", params(zip: String = \"1\", count: u8 = 1, note: Option<String>))",
    );
    source
        + "\n#[longshore::trigger(on = \"zips\", cron = \"30 4 1 1 *\", timezone = \"Europe/Oslo\")]\n\
           pub async fn yearly() -> Result<longshore::TriggerResult, longshore::TriggerError> {\n    \
           Ok(longshore::TriggerResult::Skip)\n}\n"
}

#[test]
fn a_serving_host_starts_and_fires_what_it_is_asked_for() {
    let longshore = Longshore::new();
    let packages = longshore.home.path().join("packages");
    build_into(&Crate::of_source("zips", &zips()), &packages);
    let host = longshore.spawn(&["serve"], &[]);

    let ended = longshore.run(&[
        "runs",
        "start",
        "zips",
        "-p",
        "zip=01234",
        "-p",
        "count=7",
        "--context",
        "asked=[1]",
        "--wait",
        "--json",
    ]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let report = ended.json();
    let context: Value = serde_json::json!({ "zip": "01234", "count": 7, "note": null, "asked": [1] });
    assert_eq!(report["context"], context);
    let id = report["run_id"].as_str().expect("an id").to_owned();
    assert_eq!(longshore.run(&["runs", "start", "zips", "-p", "zip=0000", "--wait"]).code, Some(3));
    for (args, code, exit, fix) in [
        (&["runs", "start", "zip"][..], "LS0601", 1, "did you mean `zips`?"),
        (&["runs", "start", "zips", "-p", "zap=1"], "LS0602", 2, "did you mean `zip`?"),
        (&["runs", "start", "zips", "-p", "zip=1", "--context", "zip=2"], "LS0705", 2, "once"),
        (&["triggers", "fire", "yerly"], "LS0614", 1, "did you mean `yearly`?"),
    ] {
        let ended = longshore.run(&[args, &["--json"]].concat());
        assert_eq!((ended.error_code().as_str(), ended.code), (code, Some(exit)), "{args:?}");
        assert!(ended.stdout.contains(fix), "{args:?}: {}", ended.stdout);
    }

    let log = longshore.log();
    for told in ["started run=", "a task failed run=", "task=\"only\"", "failed run=", "succeeded run="] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert!(log.contains(&id), "{log}");

    let triggers = longshore.run(&["triggers", "--json"]).json();
    assert_eq!(triggers["triggers"][0]["when"]["cron"], "30 4 1 1 *");
    let listed = longshore.run(&["triggers"]).stdout;
    assert!(listed.contains("yearly   zips     zips    at 30 4 1 1 * Europe/Oslo"), "{listed}");
    let fired = longshore.run(&["triggers", "fire", "yearly", "--reason", "a rehearsal", "--json"]).json();
    let fired = fired["runs"][0].as_str().expect("a run").to_owned();
    let shown = longshore.run(&["runs", "show", &fired, "--json"]).json();
    assert_eq!(shown["origin"], "cron:yearly");
    let events = shown["events"].as_array().expect("events");
    assert!(events.iter().any(|e| e["message"].as_str().is_some_and(|m| m.ends_with(": a rehearsal"))));
    let schedules = longshore.run(&["schedules", "--json"]).json();
    assert_eq!(schedules["schedules"][0]["next"].as_array().map(Vec::len), Some(3));
    assert!(longshore.run(&["schedules", "list"]).stdout.contains("yearly"));

    let of = |args: &[&str]| {
        let json = longshore.run(&[&["runs", "list", "--json"], args].concat()).json();
        json["runs"].as_array().expect("runs").len()
    };
    assert_eq!((of(&["--workflow", "zips", "--since", "1h"]), of(&["--workflow", "other"])), (3, 0));
    assert_eq!(of(&["--since", "2126-01-01T00:00:00Z"]), 0);
    assert_eq!(longshore.run(&["runs", "show", &id[..30], "--json"]).json()["run_id"], id.as_str());
    assert_eq!(longshore.run(&["runs", "show", &id[..6], "--json"]).error_code(), "LS0715");
    assert_eq!(longshore.run(&["runs", "show", "ffffffff", "--json"]).error_code(), "LS0603");

    // What is asked for while no host runs, the next one does.
    assert_eq!(host.stop(), Some(0), "{}", longshore.log());
    let asked = longshore.run(&["runs", "start", "zips", "--key", "once", "--json"]).json();
    assert_eq!((&asked["done"], of(&[])), (&false.into(), 3));
    let host = longshore.spawn(&["serve"], &[]);
    longshore.wait_until("it is started", || of(&["--state", "succeeded"]) == 3);
    let again = longshore.run(&["runs", "start", "zips", "--key", "once", "--json"]).json();
    assert_eq!((again["runs"].as_array().map(Vec::len), of(&[])), (Some(1), 4));
    assert_eq!(host.stop(), Some(0), "{}", longshore.log());
}

#[test]
fn workflows_are_listed_and_drawn() {
    let longshore = Longshore::new();
    build_into(&Crate::of_source("zips", &zips()), &longshore.home.path().join("packages"));
    let host = longshore.spawn(&["serve"], &[]);
    longshore.wait_until("it is loaded", || longshore.run(&["workflows"]).stdout.contains("zips"));
    let workflows = longshore.run(&["workflows"]).stdout;
    assert!(workflows.contains("zips      zips     zip, count, note"), "{workflows}");
    assert_eq!(longshore.run(&["workflows", "show", "zips"]).stdout, "workflow zips of zips\n  only\n");
    let dot = longshore.run(&["workflows", "show", "zips", "--dot"]).stdout;
    assert_eq!(dot, "digraph \"zips\" {\n  rankdir=TB;\n  \"only\" [shape=box, peripheries=2];\n}\n");
    assert_eq!(host.stop(), Some(0), "{}", longshore.log());
}

#[test]
fn a_schedule_for_a_workflow_that_nobody_has_is_told_wherever_one_looks() {
    let longshore = Longshore::new();
    let source = one_task("orphans", "let _ = context;\n        Ok(())")
        + "\n#[longshore::trigger(on = \"nobody\", cron = \"* * * * * *\")]\npub fn every_second() {}\n";
    build_into(&Crate::of_source("orphans", &source), &longshore.home.path().join("packages"));
    let host = longshore.spawn(&["serve"], &[]);
    longshore.wait_until("a fire that started nothing is listed", || {
        longshore.run(&["schedules"]).stdout.contains("every_second: not_started")
    });
    let listed = longshore.run(&["schedules"]).stdout;
    assert!(listed.contains("LS0601: no loaded package has a workflow `nobody`"), "{listed}");
    longshore.wait_until("the package says so", || longshore.run(&["packages"]).stdout.contains("LS0410"));
    assert!(longshore.log().contains("not_started"), "{}", longshore.log());
    assert_eq!(host.stop(), Some(0));
}
