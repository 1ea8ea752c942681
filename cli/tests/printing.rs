//! Lines that packages print, beside those of the command.

mod support;

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use support::{Crate, Ended, Longshore, Running, build_into, one_task};

/// A package that prints in each way there is; that aborts, or panics, when it is asked to.
fn chatty() -> &'static str {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = BUILT.get_or_init(|| {
        let body = "println!(\"said on stdout\");\n        eprintln!(\"said on stderr\");\n        \
                    let _ = std::process::Command::new(\"echo\").arg(\"said by a child\").status();\n        \
                    match context.get_as::<String>(\"then\")?.as_deref() {\n            \
                    Some(\"abort\") => {\n                eprintln!(\"its last words\");\n                std::process::abort();\n            }\n            \
                    Some(\"mutter\") => {\n                eprint!(\"about to call C.. \");\n                std::process::abort();\n            }\n            \
                    Some(\"panic\") => breaks(3),\n            _ => {}\n        }\n        Ok(())";
        let source = one_task("chatty", body).replace("name = \"chatty\")", "name = \"chatty\", params(then: Option<String>))")
            + "\nfn breaks(n: u32) {\n    let none: Vec<u32> = Vec::new();\n    assert!(none[n as usize] == n, \"never\");\n}\n";
        let source = source.replace("pub mod flow {", "pub mod flow {\n    use super::breaks;");
        let folder = tempfile::tempdir().expect("folder");
        let file = build_into(&Crate::of_source("chatty", &source), folder.path());
        (folder, file)
    });
    file.to_str().expect("UTF-8")
}

/// The log line with a text, among lines of JSON.
fn line<'l>(log: &'l str, text: &str) -> Option<Value> {
    let mut lines = log.lines().filter_map(|line: &'l str| serde_json::from_str::<Value>(line).ok());
    lines.find(|line| line["message"] == text)
}

#[test]
fn what_tasks_print_is_logged_with_their_run_and_the_document_stays_whole() {
    let longshore = Longshore::new();
    for extra in [&[][..], &["--isolate", "all"]] {
        let ended = longshore.run(&[&["run", chatty(), "--json"], extra].concat());
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        let run = ended.json()["run_id"].clone();
        for said in ["said on stdout", "said on stderr", "said by a child"] {
            let line = line(&ended.stderr, said).unwrap_or_else(|| panic!("{said}: {}", ended.stderr));
            assert_eq!(line["target"], "longshore::package::printed", "{line}");
            // A process of its own may have said what it has to say when its attempt is over.
            assert!(line["runs"] == run || !extra.is_empty() && line["runs"] == "", "{line}");
        }
    }
    let ended = longshore.run(&["run", chatty()]);
    assert!(!ended.stdout.contains("said"), "{}", ended.stdout);
    assert!(ended.stderr.contains("said on stdout"), "{}", ended.stderr);
}

#[test]
fn lines_of_the_crate_log_come_with_their_run_and_task() {
    let longshore = Longshore::new();
    let krate = Crate::of_source(
        "logs",
        &one_task("logs", "let _ = context;\n        log::warn!(\"said {}\", 7);\n        Ok(())"),
    );
    let path = krate.folder.path().join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).expect("reads");
    std::fs::write(&path, manifest.replace("serde_json = \"1\"\n", "serde_json = \"1\"\nlog = \"0.4\"\n"))
        .expect("writes");
    let ended = longshore.run(&["run", krate.path(), "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let line = line(&ended.stderr, "said 7").unwrap_or_else(|| panic!("{}", ended.stderr));
    let run = ended.json()["run_id"].clone();
    assert_eq!(
        (&line["level"], &line["run"], &line["task"]),
        (&"WARN".into(), &run, &"only".into()),
        "{line}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_fails_no_task() {
    let longshore = Longshore::new();
    let mut command = longshore.command(&["run", chatty()]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let both = writer.try_clone().expect("a pipe");
    let status = command.stdout(writer).stderr(both).status().expect("starts");
    assert_eq!(status.code(), Some(0));
    assert_eq!(longshore.runs()[0]["state"], "succeeded");
}

#[test]
fn the_last_words_of_a_process_that_aborts_are_heard() {
    let longshore = Longshore::new();
    let ended = longshore.run(&["run", chatty(), "-p", "then=abort"]);
    assert_eq!(ended.code, None, "a signal ended it: {}", ended.stderr);
    assert!(ended.stderr.contains("its last words"), "{}", ended.stderr);
    let ended = longshore.run(&["run", chatty(), "-p", "then=mutter"]);
    assert!(ended.stderr.contains("about to call C.. "), "without the end of a line: {}", ended.stderr);
}

#[test]
fn a_filter_of_log_lines_hides_nothing_that_is_printed() {
    let longshore = Longshore::new();
    for wanted in ["warn", "my_crate=debug", "off"] {
        let mut command = longshore.command(&["run", chatty()]);
        let ended = Ended::of(&command.env("RUST_LOG", wanted).output().expect("starts"));
        assert!(ended.stderr.contains("said on stdout"), "{wanted}: {}", ended.stderr);
    }
    let mut command = longshore.command(&["run", chatty()]);
    let ended = Ended::of(&command.env("RUST_LOG", "longshore::package=off").output().expect("starts"));
    assert!(!ended.stderr.contains("said on stdout"), "{}", ended.stderr);
}

#[test]
fn a_host_whose_log_cannot_be_written_goes_on_and_stops_in_order() {
    let longshore = Longshore::new();
    let packages = longshore.home.path().join("packages");
    std::fs::create_dir_all(&packages).expect("folder");
    std::fs::copy(chatty(), packages.join("chatty.longshore")).expect("copies");
    let (reader, gone) = std::io::pipe().expect("a pipe");
    drop(reader);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("opens");
    for log in [Stdio::from(gone), Stdio::from(full)] {
        let mut command = longshore.command(&["serve", "-v"]);
        let host = Running(command.stdout(Stdio::null()).stderr(log).spawn().expect("starts"));
        for _ in 0..5 {
            let ended = longshore.run(&["runs", "start", "chatty", "--wait"]);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        }
        assert_eq!(host.stop(), Some(0));
    }
}

#[test]
fn a_panic_shows_the_frames_of_its_author_and_the_record_has_all() {
    let longshore = Longshore::new();
    let ended = longshore.run(&["run", chatty(), "-p", "then=panic"]);
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stdout.contains("in chatty::breaks") && ended.stdout.contains("src/lib.rs:"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.lines().count() < 20, "{}", ended.stdout);
    let id = longshore.runs()[0]["run_id"].as_str().expect("an id").to_owned();
    let shown = longshore.run(&["runs", "show", &id, "--json"]).json();
    let backtrace =
        shown["tasks"][0]["history"][0]["error"]["backtrace"].as_str().expect("a backtrace").to_owned();
    assert!(backtrace.lines().count() > 20, "{backtrace}");
}

/// On a terminal: `script` gives the command one, of a size that is asked for.
fn on_terminal(longshore: &Longshore, size: (u16, u16), term: &str, arguments: &[&str]) -> String {
    let (columns, lines) = size;
    let program = env!("CARGO_BIN_EXE_longshore");
    let shell = format!("stty cols {columns} rows {lines}; exec {program} {}", arguments.join(" "));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &shell, "/dev/null"]).env("TERM", term);
    command.env("LONGSHORE_HOME", longshore.home.path()).env_remove("LONGSHORE_PATH").env_remove("NO_COLOR");
    let output =
        command.stdin(Stdio::null()).current_dir(longshore.home.path()).output().expect("script starts");
    let ended = Ended::of(&output);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    ended.stdout
}

#[test]
fn terminals_of_every_size_see_what_was_printed_and_how_the_run_ended() {
    let longshore = Longshore::new();
    for (size, term) in [
        ((80, 24), "xterm"),
        ((40, 24), "xterm"),
        ((200, 50), "xterm"),
        ((80, 2), "xterm"),
        ((80, 24), "dumb"),
    ] {
        let seen = on_terminal(&longshore, size, term, &["run", chatty()]);
        for part in ["said on stdout", "said by a child", "chatty succeeded in"] {
            assert!(seen.contains(part), "{size:?} {term}: {seen}");
        }
        let draws = seen.contains("\x1b[2K");
        assert_eq!(draws, term != "dumb" && size.1 > 2, "{size:?} {term}: {seen:?}");
    }
}
