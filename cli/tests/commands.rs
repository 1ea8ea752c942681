//! Arguments that name nothing, by the code of the answer.

mod support;

use support::{Crate, Longshore, build_example, hello, one_task};

#[test]
fn arguments_that_name_nothing_are_answered_with_a_code() {
    let longshore = Longshore::new();
    let file = hello().to_str().expect("UTF-8");
    assert_eq!(longshore.run(&["run", file, "--json"]).code, Some(0));
    let unknown_run = "01900000-0000-7000-8000-000000000000";
    for (arguments, code) in [
        (&["run", "nowhere"][..], "LS0701"),
        (&["packages", "add", "nowhere.longshore"], "LS0701"),
        (&["packages", "pin", "nobody"], "LS0711"),
        (&["packages", "pin", "hello", "--to", "9.9.9"], "LS0711"),
        (&["serve", "/nowhere"], "LS0712"),
        (&["explain", "LS9999"], "LS0713"),
        (&["runs", "show", unknown_run], "LS0603"),
        (&["runs", "cancel", unknown_run], "LS0603"),
        (&["runs", "show", "nonsense"], "LS0511"),
    ] {
        let ended = longshore.run(&[arguments, &["--json"]].concat());
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(1), code), "{arguments:?}");
        let error = &ended.json()["error"];
        assert!(error["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{arguments:?}: {error}");
    }
}

#[test]
fn a_crate_with_two_workflows_asks_which() {
    let two = one_task("one", "let _ = context; Ok(())")
        + &one_task("two", "let _ = context; Ok(())")
            .replace("longshore::package!();", "")
            .replace("mod flow", "mod other");
    let ended = Longshore::new().run(&["run", Crate::of_source("both", &two).path(), "--json"]);
    assert_eq!(ended.error_code(), "LS0706", "{}", ended.stdout);
    assert!(ended.stdout.contains("one, two"), "{}", ended.stdout);
}

#[test]
fn a_manifest_with_wrong_metadata_is_named() {
    let krate = Crate::of_source("odd", "longshore::package!();");
    let path = krate.folder.path().join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).expect("reads");
    let refused = |says: &str| {
        let ended = Longshore::new().run(&["build", krate.path(), "--json"]);
        assert_eq!(ended.error_code(), "LS0708", "{}", ended.stdout);
        assert!(ended.stdout.contains(says), "{}", ended.stdout);
    };
    for (stated, says) in [
        ("isolation = \"moon\"", "moon"),
        // A typo would lose the isolation.
        ("isolaton = \"process\"", "unknown key `isolaton`; there are isolation, limits, on_upgrade"),
        ("[package.metadata.longshore.limits]\nmemory = 5", "unknown field `memory`"),
    ] {
        let stated = stated.strip_prefix("[package.metadata.longshore.").map_or_else(
            || format!("[package.metadata.longshore]\n{stated}\n"),
            |table| format!("[package.metadata.longshore.{table}\n"),
        );
        std::fs::write(&path, format!("{manifest}\n{stated}")).expect("writes");
        refused(says);
    }
    std::fs::write(&path, &manifest).expect("writes");
    std::fs::write(krate.folder.path().join("package.toml"), "[package]\nname = \"odd\"\n").expect("writes");
    refused("package.toml is not read");
}

#[test]
fn an_archive_that_cannot_be_written_is_named() {
    build_example("hello");
    let longshore = Longshore::new();
    let file = longshore.home.path().join("file");
    std::fs::write(&file, "").expect("writes");
    let example = support::repository().join("examples/hello");
    let (example, out) = (example.to_str().expect("UTF-8"), file.join("out"));
    let ended = longshore.run(&["build", example, "-o", out.to_str().expect("UTF-8"), "--json"]);
    assert_eq!(ended.error_code(), "LS0102", "{}", ended.stdout);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let longshore = Longshore::new();
    for args in
        [&["explain", "LS0103"][..], &["explain", "LS0103", "--json"], &["explain", "nonsense", "--json"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = longshore.command(args).stdout(writer).output().expect("starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let expected = i32::from(args[1] == "nonsense");
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_is_said_as_json_when_that_is_asked_for() {
    let longshore = Longshore::new();
    let krate = Crate::of_source(
        "zips",
        &one_task("zips", "let _ = context; Ok(())").replace(
            "name = \"zips\")",
            "name = \"zips\", params(zip: String, count: u8 = 1, note: Option<String>))",
        ),
    );
    for (args, code) in [
        (&["nonsense", "--json"][..], "LS0714"),
        (&["serve", "--slots", "0", "--json"], "LS0714"),
        (&["run", krate.path(), "-p", "zip", "--json"], "LS0705"),
        (&["run", krate.path(), "-p", "zip=1", "-p", "zip=2", "--json"], "LS0705"),
        (&["runs", "list", "--state", "odd", "--json"], "LS0705"),
    ] {
        let ended = longshore.run(args);
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(2), code), "{args:?}: {}", ended.stderr);
    }
    let ended = longshore.run(&["run", krate.path(), "-p", "zap=1", "-p", "count=x", "--json"]);
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(2), "LS0602"));
    for part in ["`zap`", "`count`", "`zip`"] {
        assert!(ended.stdout.contains(part), "all at once: {}", ended.stdout);
    }
    // The declared type decides, and an option may be left out.
    let ended = longshore.run(&["run", krate.path(), "-p", "zip=01234", "-p", "count=7", "--json"]);
    let context = &ended.json()["context"];
    assert_eq!(
        (&context["zip"], &context["count"], &context["note"]),
        (&"01234".into(), &7.into(), &().into())
    );
    assert_eq!(longshore.run(&["--help"]).code, Some(0));
    let version = longshore.run(&["--version", "--verbose"]);
    assert_eq!(version.code, Some(0));
    for part in ["longshore 0.1.0\n", "\ncommit ", "\ncompiler   rustc 1.", "\ninterface  2\n"] {
        assert!(version.stdout.contains(part), "{part}: {}", version.stdout);
    }
    // What the environment says is not shown as if it had been typed.
    let ended = longshore.run(&["packages", "pin"]);
    assert!(ended.stderr.contains("Usage: longshore packages pin <NAME>\n"), "{}", ended.stderr);
}
