//! `longshore new` and `build` where people call them: in workspaces, below crates, through links, with configurations of
//! cargo, with target folders that crates share.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Crate, Ended, Longshore, hello, one_task, repository};

fn lock(folder: &Path) {
    std::fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).expect("copies");
}

/// What a command says when it is called in a folder.
fn run_in(longshore: &Longshore, folder: &Path, args: &[&str]) -> Ended {
    Ended::of(&longshore.command(args).current_dir(folder).output().expect("starts"))
}

#[test]
fn a_new_crate_builds_and_runs() {
    let longshore = Longshore::new();
    let root = repository();
    let made = longshore.run(&["new", "my-flow", "--longshore", root.to_str().expect("UTF-8")]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let folder = longshore.home.path().join("my-flow");
    lock(&folder);
    let ended = longshore.run(&["run", "my-flow", "-p", "name=Ada", "--json"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.json()["context"]["greeting"], "Hello, Ada!");
    let tested = cargo(&longshore, &folder, &["test", "--quiet"]);
    assert!(
        tested.code == Some(0) && tested.stdout.contains("1 passed"),
        "{}{}",
        tested.stdout,
        tested.stderr
    );
    let ignored = std::fs::read_to_string(folder.join(".gitignore")).expect("reads");
    assert_eq!(ignored, "/target\n/.longshore/\n");
    // From a folder below it, and through a link to it.
    let below = run_in(&longshore, &folder.join("src"), &["build", ".", "--json"]);
    assert_eq!(below.code, Some(0), "{}{}", below.stdout, below.stderr);
    std::os::unix::fs::symlink(&folder, longshore.home.path().join("link")).expect("links");
    let linked = longshore.run(&["build", "link", "--json"]);
    assert_eq!(linked.json()["digest"], below.json()["digest"], "{}", linked.stderr);
}

/// Runs cargo in a folder.
fn cargo(longshore: &Longshore, folder: &Path, args: &[&str]) -> Ended {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(folder).envs(longshore_testing::throwaway_build());
    command.env("LONGSHORE_HOME", longshore.home.path());
    Ended::of(&command.output().expect("starts"))
}

#[test]
fn each_kind_of_new_crate_is_tested_and_run_with_one_command_each() {
    let longshore = Longshore::new();
    let here = longshore.home.path();
    for (name, flag) in
        [("new-graph", "--graph"), ("new-trigger", "--trigger"), ("new-program", "--embedded")]
    {
        let made = longshore.run(&["new", name, flag, "--json"]);
        assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);
        let folder = here.join(name);
        lock(&folder);
        let tested = cargo(&longshore, &folder, &["test", "--quiet"]);
        assert_eq!(tested.code, Some(0), "{name}: {}{}", tested.stdout, tested.stderr);
        assert!(tested.stdout.contains("passed"), "{name}: {}", tested.stdout);
    }
    let graph = run_in(&longshore, &here.join("new-graph"), &["run", ".", "--json"]);
    let firings = serde_json::json!({ "note": 2, "warn": 1 });
    assert_eq!(graph.json()["firings"], firings, "{}{}", graph.stdout, graph.stderr);
    let trigger = longshore.run(&["run", "new-trigger", "--json"]);
    assert_eq!(trigger.json()["context"]["words"], 0, "{}", trigger.stderr);
    let program = cargo(&longshore, &here.join("new-program"), &["run", "--quiet"]);
    assert!(program.stdout.contains("new-program succeeded: "), "{}{}", program.stdout, program.stderr);
    // The same crate is a package.
    let package = longshore.run(&["run", "new-program", "--json"]);
    assert_eq!(package.json()["context"]["greeting"], "Hello, world!", "{}", package.stderr);
    let both = longshore.run(&["new", "both", "--graph", "--trigger", "--json"]);
    assert_eq!((both.error_code().as_str(), both.code), ("LS0714", Some(2)));
}

#[test]
fn names_that_cannot_be_are_refused_and_leave_nothing() {
    let longshore = Longshore::new();
    for name in ["fn", "std", "test", "serde_json", "longshore", "longshore_workflow", "1st", "sp ace", ".."]
    {
        let ended = longshore.run(&["new", name, "--json"]);
        assert_eq!(
            (ended.error_code().as_str(), ended.code),
            ("LS0707", Some(2)),
            "{name}: {}",
            ended.stdout
        );
        assert!(name == ".." || !longshore.home.path().join(name).exists(), "{name}");
    }
    assert_eq!(longshore.run(&["new", "flow", "--longshore", "/nowhere", "--json"]).error_code(), "LS0707");
    // Without a checkout that is named it is that of this program.
    assert_eq!(longshore.run(&["new", "flow"]).code, Some(0));
    assert_eq!(longshore.run(&["new", "flow", "--json"]).error_code(), "LS0707");
}

#[test]
fn a_new_crate_in_a_workspace_is_a_member_of_it() {
    let longshore = Longshore::new();
    let workspace = Crate::new(&[
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n\n[profile.dev]\ndebug = false\n",
        ),
        ("crates/old/Cargo.toml", "[package]\nname = \"old\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"),
        ("crates/old/src/lib.rs", ""),
    ]);
    let folder = workspace.folder.path();
    let made = run_in(&longshore, folder, &["new", "crates/fresh"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let mut cargo = Command::new(env!("CARGO"));
    let metadata =
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(folder).output();
    let metadata = metadata.expect("cargo starts");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    assert!(String::from_utf8_lossy(&metadata.stdout).contains("\"name\":\"fresh\""));
    let built = run_in(&longshore, folder, &["build", "crates/fresh", "--json"]);
    assert_eq!(built.code, Some(0), "{}{}", built.stdout, built.stderr);
    // The workspace itself is not a crate, and names those that are.
    let refused = run_in(&longshore, folder, &["build", ".", "--json"]);
    assert_eq!(refused.error_code(), "LS0701");
    assert!(
        refused.stdout.contains("crates/fresh") && refused.stdout.contains("crates/old"),
        "{}",
        refused.stdout
    );
}

#[test]
fn two_crates_of_one_name_in_one_target_folder_run_their_own_code() {
    let longshore = Longshore::new();
    let says = |word: &str| {
        Crate::of_source("twin", &one_task("twin", &format!("context.insert_as(\"says\", \"{word}\")")))
    };
    let (first, second) = (says("first"), says("second"));
    // All crates of these tests are built in one target folder.
    let said = |krate: &Crate| {
        let ended = longshore.run(&["run", krate.path(), "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.json()["context"]["says"].as_str().expect("a text").to_owned()
    };
    for _ in 0..2 {
        assert_eq!((said(&first).as_str(), said(&second).as_str()), ("first", "second"));
    }
}

#[test]
fn a_configuration_of_cargo_beside_the_crate_counts() {
    let longshore = Longshore::new();
    let body = "context.insert_as(\"said\", env!(\"SAID_BY_CONFIGURATION\"))";
    let krate = Crate::of_source("configured", &one_task("configured", body));
    let folder = krate.folder.path().join(".cargo");
    std::fs::create_dir(&folder).expect("folder");
    let config = format!("[build]\ntarget = \"{}\"\n\n[env]\nSAID_BY_CONFIGURATION = \"yes\"\n", target());
    std::fs::write(folder.join("config.toml"), config).expect("writes");
    // From elsewhere.
    let ended = longshore.run(&["run", krate.path(), "--json"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.json()["context"]["said"], "yes");
}

/// The triple of this machine.
fn target() -> String {
    let output = Command::new("rustc").args(["--print", "host-tuple"]).output().expect("rustc starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_name_is_a_workflow_before_it_is_a_folder_of_the_crate_around_it() {
    let longshore = Longshore::new();
    let krate = Crate::of_source("around", "fn broken() -> u32 { \"text\" }\n");
    std::fs::create_dir(krate.folder.path().join("hello")).expect("a folder of data");
    let packages = longshore.home.path().join("packages");
    std::fs::create_dir(&packages).expect("folder");
    std::fs::copy(hello(), packages.join("hello.longshore")).expect("copies");
    let ended = run_in(&longshore, krate.folder.path(), &["run", "hello", "--json"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let ended = run_in(&longshore, krate.folder.path(), &["run", "./hello", "--json"]);
    assert_eq!(ended.error_code(), "LS0704", "a path is a path");
}

#[test]
fn a_crate_that_calls_no_package_is_told_so_before_it_is_built() {
    let krate = Crate::of_source("silent", "fn broken() -> u32 { \"text\" }\n");
    let ended = Longshore::new().run(&["build", krate.path(), "--json"]);
    assert_eq!(ended.error_code(), "LS0704", "{}", ended.stderr);
    assert!(!ended.stderr.contains("Compiling"), "{}", ended.stderr);
}

/// A compiler that knows two foreign targets, and has the standard library of one.
fn compiler(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir(folder.join("lib")).expect("a folder");
    std::fs::write(folder.join("lib/libstd-0123.rlib"), "").expect("writes");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*target-list) echo riscv64gc-unknown-linux-gnu; echo s390x-unknown-linux-gnu;;\n\
         *riscv64gc*) echo {lib};;\n*s390x*) echo {lib}/none;;\n*) exec rustc \"$@\";;\nesac\n",
        lib = folder.join("lib").display()
    );
    let file = folder.join("compiler");
    std::fs::write(&file, script).expect("writes");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("sets");
    file
}

#[test]
fn what_a_build_for_another_machine_lacks_is_said_before_cargo_is_started() {
    let longshore = Longshore::new();
    let krate = Crate::of_source("abroad", &one_task("abroad", "let _ = context; Ok(())"));
    let compiler = compiler(longshore.home.path());
    let refused = |target: &str| {
        let mut command = longshore.command(&["build", krate.path(), "--target", target, "--json"]);
        let ended = Ended::of(&command.env("RUSTC", &compiler).output().expect("starts"));
        assert_eq!(ended.error_code(), "LS0719", "{}{}", ended.stdout, ended.stderr);
        ended.json()["error"].to_string()
    };
    let text = refused("riscv64-unknown-linux-gnu");
    assert!(text.contains("did you mean `riscv64gc-unknown-linux-gnu`"), "{text}");
    let text = refused("s390x-unknown-linux-gnu");
    assert!(text.contains("rustup target add s390x-unknown-linux-gnu"), "{text}");
    let text = refused("riscv64gc-unknown-linux-gnu");
    assert!(
        text.contains("gcc-riscv64-linux-gnu")
            && text.contains("CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_LINKER"),
        "{text}"
    );
}

#[test]
fn a_cargo_that_is_not_there_is_said() {
    let krate = Crate::of_source("alone", &one_task("alone", "let _ = context; Ok(())"));
    let longshore = Longshore::new();
    let mut command = longshore.command(&["build", krate.path(), "--json"]);
    let ended = Ended::of(&command.env("CARGO", "/nowhere/cargo").output().expect("starts"));
    assert_eq!(ended.error_code(), "LS0703", "{}", ended.stdout);
}

/// The commands of the file by which a forge publishes a new crate, in its order.
fn ci_commands(folder: &Path, target: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(".github/workflows/package.yml")).expect("reads");
    let runs = text.lines().filter_map(|line| line.trim_start().strip_prefix("- run: "));
    // What it installs is here.
    let own = runs.filter(|run| !run.starts_with("cargo install"));
    // An optimised build takes minutes and shows nothing more.
    own.map(|run| run.replace("${{ matrix.target }}", target).replace(" --release", "")).collect()
}

#[test]
fn the_file_for_a_forge_tests_builds_packs_signs_and_publishes() {
    let longshore = Longshore::new();
    let here = longshore.home.path();
    assert_eq!(longshore.run(&["new", "forged"]).code, Some(0));
    let folder = here.join("forged");
    lock(&folder);
    assert_eq!(longshore.run(&["keygen", "secret"]).code, Some(0));
    std::fs::create_dir(here.join("registry")).expect("makes");
    let commands = ci_commands(&folder, "x86_64-unknown-linux-gnu");
    assert_eq!(commands.len(), 7, "{commands:?}");
    let program = longshore.program.parent().expect("a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a path"));
    for line in commands {
        let mut command = Command::new("bash");
        command.args(["-ec", &line]).current_dir(&folder).env("PATH", &path);
        command.envs(longshore_testing::throwaway_build()).env("LONGSHORE_HOME", here);
        command.env("LONGSHORE_REGISTRY", here.join("registry"));
        command.env("LONGSHORE_KEY", std::fs::read_to_string(here.join("secret")).expect("reads"));
        let ended = Ended::of(&command.output().expect("starts"));
        assert_eq!(ended.code, Some(0), "{line}: {}{}", ended.stdout, ended.stderr);
    }
    assert!(!folder.join("key").exists());
    let published =
        longshore.run(&["search", "forged", "--releases", "--registry", "registry", "--json"]).json();
    assert_eq!(published["releases"][0]["signatures"][0]["role"], "builder", "{published:#}");
}

#[test]
fn a_doctor_says_what_a_crate_and_a_home_lack() {
    let longshore = Longshore::new();
    let krate = Crate::of_source("patient", &one_task("patient", "Ok(())"));
    let look = |longshore: &Longshore| {
        let ended = longshore.run(&["doctor", krate.path(), "--json"]);
        let document = ended.json();
        let faults = document["findings"].as_array().expect("findings").clone();
        let faults = faults.into_iter().filter(|finding| finding["state"] == "fault");
        let codes: Vec<String> =
            faults.map(|fault| fault["code"].as_str().unwrap_or_default().to_owned()).collect();
        assert_eq!(document["well"], codes.is_empty());
        assert_eq!(ended.code, Some(i32::from(!codes.is_empty())), "{document:#}");
        codes
    };
    assert_eq!(look(&longshore), [] as [String; 0]);
    let write =
        |name: &str, text: &str| std::fs::write(krate.folder.path().join(name), text).expect("writes");
    write("longshore.toml", "[prebuilt]\nurl = \"/nowhere\"\nkeys = \"allowed\"\n");
    assert_eq!(look(&longshore), ["LS0101", "LS0806"], "keys and registry");
    write("longshore.toml", "nonsense = 1\n");
    assert_eq!(look(&longshore), ["LS0721"]);
    std::fs::remove_file(krate.folder.path().join("longshore.toml")).expect("removes");
    write("src/lib.rs", "pub fn nothing() {}\n");
    assert_eq!(look(&longshore), ["LS0704"]);
    // A home without a host, and one whose trust policy does not read.
    assert_eq!(longshore.run(&["doctor", "--json"]).fault_code(), "LS0709");
    let file = hello().to_str().expect("UTF-8");
    assert_eq!(longshore.run(&["packages", "add", file]).code, Some(0));
    assert_eq!(longshore.run(&["doctor"]).code, Some(0));
    std::fs::write(longshore.home.path().join("trust.toml"), "policy = 1").expect("writes");
    assert_eq!(longshore.run(&["doctor", "--json"]).fault_code(), "LS0120");
}
