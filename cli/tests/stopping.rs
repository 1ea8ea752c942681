//! Commands that are stopped: by a terminal that closes, by a supervisor, by Ctrl-C; and what is left of their runs.

mod support;

use std::path::Path;
use support::{Crate, Ended, Longshore, build_into, hello, one_task};

/// A package whose task says each time that it is executed, and waits until a file is there.
fn gated(gate: &Path) -> Crate {
    let gate = gate.display();
    let body = format!(
        "use std::io::Write;\n        let mut log = std::fs::OpenOptions::new().create(true).append(true)\
         .open(\"{gate}.log\").expect(\"opens\");\n        writeln!(log, \"executed\").expect(\"writes\");\n        \
         context.insert_as(\"began\", true)?;\n        \
         while !std::path::Path::new(\"{gate}\").exists() {{\n            longshore_sleep(5).await;\n        }}\n        Ok(())"
    );
    // An await without a runtime of the package's own.
    let sleep = "\nasync fn longshore_sleep(ms: u64) {\n    let until = std::time::Instant::now() + std::time::Duration::from_millis(ms);\n    \
                 std::future::poll_fn(|cx| {\n        if std::time::Instant::now() >= until {\n            return std::task::Poll::Ready(());\n        }\n        \
                 std::thread::sleep(std::time::Duration::from_millis(1));\n        cx.waker().wake_by_ref();\n        std::task::Poll::Pending\n    })\n    .await\n}\n";
    let source = one_task("gated", &body)
        .replace("pub mod flow {", "pub mod flow {\n    use super::longshore_sleep;")
        + sleep;
    Crate::of_source("gated", &source)
}

fn executions(gate: &Path) -> usize {
    let log = std::fs::read_to_string(format!("{}.log", gate.display())).unwrap_or_default();
    log.lines().count()
}

#[test]
fn a_run_that_was_interrupted_stays_so_until_somebody_asks_for_it() {
    let longshore = Longshore::new();
    let gate = longshore.home.path().join("gate");
    let file = build_into(&gated(&gate), longshore.home.path());
    let file = file.to_str().expect("UTF-8");
    // A terminal that closes: the task gets no time, for the second signal comes at once.
    let running = longshore.spawn(&["run", file], &[]);
    longshore.wait_until("it is executed", || executions(&gate) == 1);
    running.signal("-HUP");
    longshore.wait_until("it says what it waits for", || longshore.log().contains("stopping: only may end"));
    running.signal("-TERM");
    assert_eq!(running.wait(), Some(130), "{}", longshore.log());
    assert!(longshore.log().contains("--resume` goes on with it"), "{}", longshore.log());

    let interrupted = longshore.runs()[0]["run_id"].as_str().expect("an id").to_owned();
    let shown = longshore.run(&["runs", "show", &interrupted]).stdout;
    assert!(shown.contains("host     none runs"), "{shown}");

    // Whoever goes on with runs of another package leaves it alone.
    let hello = hello().to_str().expect("UTF-8");
    let resumed = longshore.run(&["run", hello, "--resume"]);
    assert_eq!((resumed.code, resumed.stdout.as_str()), (Some(0), "no run is interrupted\n"));
    assert_eq!(executions(&gate), 1);

    // Another run of the package leaves it alone, and says that it is there.
    std::fs::write(&gate, "").expect("opens the gate");
    let ended = longshore.run(&["run", file]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("is not over"), "{}", ended.stderr);
    assert_eq!(executions(&gate), 2, "its own execution, and no other");
    let states = |longshore: &Longshore| {
        let mut states: Vec<String> = longshore.runs().iter().map(|run| run["state"].to_string()).collect();
        states.sort();
        states
    };
    assert_eq!(states(&longshore), ["\"running\"", "\"succeeded\""]);

    let resumed = longshore.run(&["run", file, "--resume", "--json"]);
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
    let runs = resumed.json()["runs"].as_array().cloned().expect("runs");
    assert_eq!((runs.len(), &runs[0]["state"], executions(&gate)), (1, &"succeeded".into(), 3));
    assert_eq!(states(&longshore), ["\"succeeded\"", "\"succeeded\""]);
    assert_eq!(longshore.run(&["run", file, "--resume", "--json"]).json()["runs"], serde_json::json!([]));
}

#[test]
fn a_command_is_stopped_while_its_package_is_probed() {
    let longshore = Longshore::new();
    let source = one_task("hangs", "let _ = context;\n        Ok(())")
        + "\n#[used]\n#[unsafe(link_section = \".init_array\")]\nstatic INIT: extern \"C\" fn() = {\n    \
           extern \"C\" fn init() { loop { std::thread::park() } }\n    init\n};\n";
    let file = build_into(&Crate::of_source("hangs", &source), longshore.home.path());
    let running = longshore.spawn(&["run", file.to_str().expect("UTF-8")], &[]);
    let process = running.0.id().to_string();
    longshore.wait_until("it probes", || {
        let children =
            std::process::Command::new("pgrep").args(["-P", &process, "-f", "__longshore-probe"]).output();
        children.is_ok_and(|output| output.status.success())
    });
    running.signal("-INT");
    assert_eq!(running.wait(), Some(130), "{}", longshore.log());
    assert!(!longshore.log().contains("LS0304"), "it does not wait for the probe: {}", longshore.log());
}

#[test]
fn a_package_that_somebody_decided_about_is_not_run_in_another_version() {
    let longshore = Longshore::new();
    let says = |word: &str| {
        let krate = Crate::of_source(
            "decided",
            &one_task("decided", &format!("context.insert_as(\"says\", \"{word}\")")),
        );
        let out = longshore.home.path().join(word);
        build_into(&krate, &out).to_str().expect("UTF-8").to_owned()
    };
    let (first, second) = (says("first"), says("second"));
    assert_eq!(longshore.run(&["run", &first]).code, Some(0));
    let decided = ["packages", "pin", "decided", "--actor", "ada", "--reason", "an audit"];
    assert_eq!(longshore.run(&decided).code, Some(0));
    assert_eq!(
        longshore.run(&["run", &first, "--json"]).json()["context"]["says"],
        "first",
        "it is what counts"
    );
    let refused = longshore.run(&["run", &second, "--json"]);
    assert_eq!((refused.error_code().as_str(), refused.code), ("LS0716", Some(1)));
    assert!(refused.stdout.contains("pinned by ada: an audit"), "{}", refused.stdout);
    let elsewhere = Ended::of(
        &longshore.command(&["run", &second, "--json", "--home", "elsewhere"]).output().expect("starts"),
    );
    assert_eq!(elsewhere.json()["context"]["says"], "second");
    assert_eq!(longshore.run(&["packages", "release", "decided"]).code, Some(0));
    assert_eq!(longshore.run(&["run", &second, "--json"]).json()["context"]["says"], "second");
}

#[test]
fn a_host_outlives_a_terminal_when_it_was_started_to() {
    let longshore = Longshore::new();
    std::fs::create_dir(longshore.home.path().join("packages")).expect("folder");
    let host = longshore.spawn_ignoring_hangup(&["serve"]);
    longshore.wait_until("it runs", || longshore.run(&["packages", "check"]).code == Some(0));
    host.signal("-HUP");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(longshore.run(&["packages", "check"]).code, Some(0), "{}", longshore.log());
    assert_eq!(host.stop(), Some(0));
    let host = longshore.spawn(&["serve"], &[]);
    longshore.wait_until("it runs", || longshore.run(&["packages", "check"]).code == Some(0));
    host.signal("-HUP");
    assert_eq!(host.wait(), Some(0), "without that a closed terminal ends it in order");
    assert!(longshore.log().contains("stopping: 0 running tasks get 30 s"), "{}", longshore.log());
}

#[test]
fn what_was_only_run_is_no_package_of_the_hosts_and_leaves_one_copy() {
    let longshore = Longshore::new();
    let says = |word: &str| {
        let body = format!("context.insert_as(\"says\", \"{word}\")");
        let krate = Crate::of_source("passing", &one_task("passing", &body));
        build_into(&krate, &longshore.home.path().join(word)).to_str().expect("UTF-8").to_owned()
    };
    let (first, second) = (says("first"), says("second"));
    for file in [&first, &second, &first] {
        assert_eq!(longshore.run(&["run", file]).code, Some(0));
    }
    let cached = || {
        let entries = std::fs::read_dir(longshore.home.path().join("cache")).expect("a cache");
        entries.flatten().filter(|entry| entry.file_name().len() == 64).count()
    };
    assert_eq!(cached(), 1, "each gives way to the next");
    let listed = longshore.run(&["packages"]).stdout;
    assert!(listed.starts_with("no packages\n") && listed.contains("1 that were only run"), "{listed}");
    assert!(longshore.run(&["packages", "list", "--all"]).stdout.contains("passing"));
    // Once a host has it, it is one of its packages, also after it was run again.
    let packages = longshore.home.path().join("packages");
    std::fs::create_dir(&packages).expect("folder");
    std::fs::copy(&first, packages.join("passing.longshore")).expect("copies");
    let host = longshore.spawn(&["serve"], &[]);
    longshore.wait_until("it is listed", || longshore.run(&["packages"]).stdout.contains("passing"));
    assert_eq!(host.stop(), Some(0));
    assert_eq!(longshore.run(&["run", &second]).code, Some(0));
    assert!(longshore.run(&["packages"]).stdout.contains("passing"));
    assert_eq!(cached(), 2, "what a host may go back to stays");
}
