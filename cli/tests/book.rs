//! The pages of the book: every command is run, and prints what stands under it.

mod support;

use snapbox::{Assert, Data};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Running, repository};

/// A command with what the page says it prints.
struct Step {
    command: String,
    expected: String,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (line, inside) {
            ("```console", _) => inside = true,
            ("```", _) => inside = false,
            (line, true) => match line.strip_prefix("$ ") {
                Some(command) => {
                    steps.push(Step { command: command.to_owned(), expected: String::new() });
                }
                None => {
                    let step = steps.last_mut().expect("a command comes first");
                    step.expected.push_str(line);
                    step.expected.push('\n');
                }
            },
            _ => {}
        }
    }
    steps
}

/// Commands as a person types them, in one folder with a home of its own.
struct Shell {
    folder: tempfile::TempDir,
    running: Vec<Running>,
}

impl Shell {
    fn command(&self, line: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_longshore")).parent().expect("a folder");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-c", &format!("exec 2>&1; {line}")]).current_dir(self.folder.path()).env("PATH", path);
        command.env("LONGSHORE_HOME", self.folder.path().join("home")).env("CHECKOUT", repository());
        command.envs(longshore_testing::throwaway_build());
        command.env_remove("LONGSHORE_PATH").stdin(Stdio::null());
        command
    }

    fn output(&self, line: &str) -> String {
        let output = self.command(line).output().expect("starts");
        // Tables end their lines where their cells do.
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn run(&mut self, step: &Step) {
        if let Some(line) = step.command.strip_suffix('&') {
            let mut command = self.command(&format!("exec {line}"));
            self.running.push(Running(command.stdout(Stdio::null()).spawn().expect("starts")));
            return;
        }
        // What is only looked at shows in a while what a host does meanwhile.
        let looks = [
            "longshore packages",
            "longshore packages check",
            "longshore packages list",
            "longshore packages followed",
            "longshore status",
            "longshore hosts",
            "longshore packages show greeter",
            "longshore plan drop",
        ];
        let patient = looks.contains(&step.command.as_str());
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let printed = self.output(&step.command);
            let same = Assert::new().try_eq(
                Some(&step.command),
                Data::text(printed),
                Data::text(step.expected.clone()),
            );
            match same {
                Ok(()) => return,
                Err(_) if patient && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(100))
                }
                Err(error) => panic!("$ {}\n{error}", step.command),
            }
        }
    }
}

/// Runs the commands of a page, and returns how the hosts that it started ended.
fn run_page(name: &str, at_least: usize) -> Vec<Option<i32>> {
    let page = repository().join("docs/book").join(name);
    let steps = steps(&std::fs::read_to_string(page).expect("the page"));
    assert!(steps.len() > at_least, "{}", steps.len());
    let mut shell = Shell { folder: tempfile::tempdir().expect("folder"), running: Vec::new() };
    for step in &steps {
        shell.run(step);
    }
    shell.running.into_iter().map(Running::stop).collect()
}

#[test]
fn the_page_for_operators_tells_the_truth() {
    // The page kills the first.
    assert_eq!(run_page("operating.md", 20), [None, Some(0)]);
}

#[test]
fn the_page_of_packages_that_travel_tells_the_truth() {
    assert_eq!(run_page("packages.md", 15), []);
}

#[test]
fn the_page_of_registries_tells_the_truth() {
    assert_eq!(run_page("registries.md", 15), [Some(0)]);
}
