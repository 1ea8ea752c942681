//! Crates outside the workspace, as strangers write them: good ones run, and bad ones get the error they need.

mod support;

use support::{Crate, Longshore, one_task};

/// A stranger's crate: three renamed dependencies, several modules, aliases, globs, cfgs, no build script.
const STRANGER: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        r#"
[package]
name = "stranger"
version = "1.2.3"
edition = "2021"

[dependencies]
flows = { package = "longshore-workflow", path = "REPOSITORY/workflow", default-features = false, features = ["macros"] }
marks = { package = "longshore-macros", path = "REPOSITORY/macros" }
shell = { package = "longshore-workflow-plugin", path = "REPOSITORY/workflow-plugin", default-features = false }

[workspace]

[profile.dev]
debug = false
"#,
    ),
    (
        "src/lib.rs",
        r#"
#![forbid(unsafe_code)]
#![deny(warnings)]
mod steps;
pub mod more;

#[cfg(feature = "packaged")]
shell::package!();
"#,
    ),
    (
        "src/steps.rs",
        r#"
use flows::*;

type Ctx = Context;

#[marks::workflow(name = "stranger", tenant = "public", params(count: Vec<u32> = vec![1, 2], label: Option<String> = None))]
pub mod inner {
    use super::*;
    use marks::task as step;

    /// what: doubles
    /// WHY: because
    #[step(id = "double", on_success = told)]
    pub fn doubled(c: &mut Ctx) -> Result<(), TaskError> {
        let count: Vec<u32> = c.get_required("count")?;
        c.insert_as("doubled", count.iter().map(|n| n * 2).collect::<Vec<_>>())
    }

    async fn told(_id: &str, _context: &Ctx) -> Result<(), String> {
        Ok(())
    }

    #[cfg(any())]
    #[task(id = "never")]
    fn never_a(_c: &mut Ctx) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["double"], trigger_rules = all(task_success("double"), context_value("doubled", contains, 4)))]
    pub async fn last(context: &mut Ctx, handle: &mut TaskHandle) -> Result<(), String2> {
        context.insert_as("id", handle.task_execution_id()).map_err(String2)
    }

    pub struct String2(TaskError);
    impl From<String2> for TaskError {
        fn from(error: String2) -> Self { error.0 }
    }
}
"#,
    ),
    (
        "src/more.rs",
        r#"
use flows::{TriggerError, TriggerResult, trigger};

mod clock {
    use flows::{computation_graph as graph, passthrough_accumulator, reactor, state_accumulator};
    use std::collections::VecDeque;

    #[passthrough_accumulator]
    fn ticks(event: u32) -> u32 {
        event
    }

    #[state_accumulator(capacity = 3)]
    fn history() -> VecDeque<u32>;

    #[reactor(name = "stranger-clock", accumulators = [ticks, history], criteria = when_any(ticks))]
    struct Clock;

    #[graph(trigger = reactor("stranger-clock"), graph = {
        tick(ticks, history) => { Even -> even, Odd -> history },
        even -> history_of_evens,
    })]
    mod clockwork {
        use super::VecDeque;

        pub enum Parity { Even(u32), Odd(u32) }

        pub async fn tick(ticks: Option<&u32>, history: Option<&VecDeque<u32>>) -> Parity {
            let now = ticks.copied().unwrap_or(0) + history.map_or(0, |h| h.len() as u32);
            if now % 2 == 0 { Parity::Even(now) } else { Parity::Odd(now) }
        }
        pub async fn even(now: &u32) -> u32 { *now }
        pub async fn history(now: &u32) -> u32 { *now }
        #[node(blocking)]
        pub fn history_of_evens(now: &u32) -> u32 { *now }
    }
}

#[trigger(on = "stranger", poll_interval = "1h", name = "hourly")]
pub async fn looks() -> Result<TriggerResult, TriggerError> {
    Ok(TriggerResult::Skip)
}
"#,
    ),
];

#[test]
fn a_crate_of_three_renamed_dependencies_and_several_modules_builds_and_runs() {
    let stranger = Crate::new(STRANGER);
    let longshore = Longshore::new();
    let ended = longshore.run(&["run", stranger.path(), "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = ended.json();
    assert_eq!(report["state"], "succeeded", "{report}");
    assert_eq!((&report["package"], &report["version"]), (&"stranger".into(), &"1.2.3".into()));
    assert_eq!(report["context"]["doubled"], serde_json::json!([2, 4]));
    let key = format!("{}/last", report["run_id"].as_str().expect("an id"));
    assert_eq!(report["context"]["id"], key.as_str());
}

#[test]
fn crates_that_are_not_packages_say_what_is_missing() {
    let longshore = Longshore::new();
    let code = |krate: &Crate| longshore.run(&["build", krate.path(), "--json"]).error_code();
    let plain = "[package]\nname = \"plain\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n";
    assert_eq!(code(&Crate::new(&[("Cargo.toml", plain), ("src/lib.rs", "")])), "LS0702");
    assert_eq!(code(&Crate::of_source("silent", "//! Never calls the macro.\n")), "LS0704");
    assert_eq!(
        code(&Crate::of_source("broken", "longshore::package!();\nfn f() -> u32 { \"text\" }\n")),
        "LS0703"
    );
}

#[test]
fn two_package_calls_are_a_compile_error_that_says_so() {
    let source = format!("{}\nmod again {{ longshore::package!(); }}\n", one_task("twice", "Ok(())"));
    let twice = Crate::of_source("twice", &source);
    let longshore = Longshore::new();
    let ended = longshore.run(&["build", twice.path()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("a_crate_calls_package_once"), "{}", ended.stderr);
}

#[test]
fn libraries_that_would_hurt_the_host_are_refused_and_named() {
    let longshore = Longshore::new();
    let code = |name: &str, extra: &str, manifest: &str| {
        let krate = Crate::of_source(name, &format!("{}\n{extra}", one_task(name, "Ok(())")));
        let path = krate.folder.path().join("Cargo.toml");
        let text = std::fs::read_to_string(&path).expect("reads");
        std::fs::write(&path, format!("{text}{manifest}")).expect("writes");
        longshore.run(&["run", krate.path(), "--json"]).error_code()
    };
    let constructor = |body: &str| {
        format!(
            "#[used]\n#[unsafe(link_section = \".init_array\")]\nstatic INIT: extern \"C\" fn() = init;\n\
             extern \"C\" fn init() {{ {body} }}\n"
        )
    };
    let segfault = constructor("unsafe { std::ptr::null_mut::<u8>().write_volatile(1) }");
    assert_eq!(code("segfaults", &segfault, ""), "LS0303");
    assert_eq!(code("hangs", &constructor("loop { std::thread::park() }"), ""), "LS0304");
    assert_eq!(code("exits", &constructor("std::process::exit(0)"), ""), "LS0303");
    assert_eq!(code("aborts", "", "panic = \"abort\"\n"), "LS0207");
}

#[test]
fn a_library_that_never_answers_what_it_declares_is_refused() {
    let source = one_task("silent", "let _ = context; Ok(())")
        .replace("name = \"silent\")", "name = \"silent\", params(n: u32 = super::never()))")
        + "\nfn never() -> u32 { loop { std::thread::park() } }\n";
    let krate = Crate::of_source("never-answers", &source);
    assert_eq!(Longshore::new().run(&["run", krate.path(), "--json"]).error_code(), "LS0304");
}

#[test]
fn every_entry_survives_a_release_build_with_link_time_optimisation() {
    let tasks: String = (0..40)
        .map(|i| {
            format!(
                "    #[task]\n    pub async fn t{i:02}(context: &mut Context<Value>) -> Result<(), TaskError> {{\n        \
                 context.insert_as(\"t{i:02}\", {i})\n    }}\n"
            )
        })
        .collect();
    let source = format!(
        "longshore::package!();\nmod unreferenced;\n\n#[longshore::workflow(name = \"wide\")]\npub mod wide {{\n    \
         use longshore::{{Context, TaskError, task}};\n    use serde_json::Value;\n{tasks}}}\n"
    );
    let krate = Crate::of_source("optimised", &source);
    let trigger = "#[longshore::trigger(on = \"wide\", cron = \"0 0 1 1 *\")]\nasync fn yearly() {}\n";
    std::fs::write(krate.folder.path().join("src/unreferenced.rs"), trigger).expect("writes");
    let manifest = krate.folder.path().join("Cargo.toml");
    let profile = "\n[profile.release]\nlto = \"fat\"\ncodegen-units = 1\nstrip = true\n";
    let text = std::fs::read_to_string(&manifest).expect("reads");
    std::fs::write(&manifest, format!("{text}{profile}")).expect("writes");
    let longshore = Longshore::new();
    let ended = longshore.run(&["run", krate.path(), "--release", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.json()["context"].as_object().map(serde_json::Map::len), Some(40));
    let packages = longshore.run(&["packages", "--json"]).json();
    assert_eq!(packages["packages"][0]["name"], "optimised");
}

#[test]
fn a_panicking_task_fails_its_run_and_a_failing_one_names_its_cause() {
    let longshore = Longshore::new();
    let report = |name: &str, body: &str| {
        let krate = Crate::of_source(name, &one_task(name, body));
        let ended = longshore.run(&["run", krate.path(), "--json"]);
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        ended.json()
    };
    let panicked = report("panicker", "let _ = context; panic!(\"the sky fell\")");
    let error = panicked["tasks"][0]["error"].as_str().expect("an error");
    assert!(error.contains("panicked at") && error.contains("the sky fell"), "{error}");
    let failed = report("failer", "context.get_required::<u8>(\"absent\").map(drop)");
    let error = failed["error"].as_str().expect("an error");
    assert!(error.contains("`only` failed after 1 attempt: context key `absent` is missing"), "{error}");
}

#[test]
fn a_context_over_the_limit_fails_its_task() {
    let longshore = Longshore::new();
    let body = "context.insert_as(\"big\", \"x\".repeat(17 << 20))";
    let krate = Crate::of_source("large", &one_task("large", body));
    let ended = longshore.run(&["run", krate.path(), "--json"]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.json()["error"].as_str().is_some_and(|e| e.contains("over the limit")), "{}", ended.stdout);
}

/// What a crate may write and other engines take: names that ours have inside, lifetimes, aliases, `cfg`s, macros, raw
/// identifiers, types with commas, defaults that are expressions. Nothing of it warns.
const CONSTRUCTS: &str = r##"
//! Every construct.
#![forbid(missing_docs, unsafe_code, dead_code, unused_variables, unused_qualifications, unreachable_patterns)]
#![deny(warnings)]

use longshore::{
    Context, TaskError, TaskHandle, batch_accumulator, computation_graph, passthrough_accumulator,
    polling_accumulator, reactor, state_accumulator, stream_accumulator, task, trigger, workflow,
};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};

longshore::package!();

/// An alias of the whole parameter.
pub type Ctx<'a> = &'a mut Context<Value>;

/// Tasks.
#[workflow(
    name = "constructs",
    params(
        seconds: u64 = 24 * 60 * 60,
        list: Vec<u32> = vec![1, 2],
        maybe: Option<i64> = Some(3),
        text: String = "a text",
        ratio: f32 = 0.5,
        r#type: String = String::from("kind"),
        by_name: HashMap<String, u64> = HashMap::new(),
    )
)]
pub mod constructs {
    use super::*;

    /// The names that generated code has inside.
    #[task]
    pub async fn handle(context: &mut Context<Value>, handle: &mut TaskHandle) -> Result<(), TaskError> {
        let _ = handle.task_execution_id();
        let seconds: u64 = context.get_required("seconds")?;
        let kind: String = context.get_required("type")?;
        let maybe: Option<i64> = context.get_required("maybe")?;
        context.insert_as("seen", format!("{seconds} {kind} {maybe:?}"))
    }

    /// As above.
    #[task(dependencies = ["handle"], on_success = result, on_failure = error)]
    pub async fn context(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("context", true)
    }

    async fn result(_id: &str, _context: &Context<Value>) -> Result<(), String> {
        Ok(())
    }

    async fn error(_id: &str, _error: &TaskError, _context: &Context<Value>) -> Result<(), String> {
        Ok(())
    }

    /// With a lifetime of its own, and a condition that stands in a message.
    #[task(dependencies = ["context"], retry_condition = "server", trigger_rules = context_value("context", exists, true))]
    pub async fn named<'c>(context: &'c mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("named", 1)
    }

    /// With an alias.
    #[task(dependencies = ["named"])]
    pub async fn aliased(context: Ctx<'_>) -> Result<(), TaskError> {
        context.insert_as("aliased", 2)
    }

    /// Behind a `cfg`, twice.
    #[cfg(unix)]
    pub mod here {
        use super::*;
        /// One of two.
        #[task(id = "either", dependencies = ["aliased"])]
        pub fn here(context: &mut Context<Value>) -> Result<(), TaskError> {
            context.insert_as("either", "unix")
        }
    }

    /// The other.
    #[cfg(not(unix))]
    pub mod there {
        use super::*;
        /// Two of two.
        #[task(id = "either", dependencies = ["aliased"])]
        pub fn there(context: &mut Context<Value>) -> Result<(), TaskError> {
            context.insert_as("either", "other")
        }
    }

    /// Behind an attribute.
    #[cfg_attr(all(), task(id = "behind", dependencies = ["either"]))]
    pub async fn attributed(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("behind", 3)
    }

    macro_rules! written {
        ($name:ident, $context:ty) => {
            /// Written by a macro.
            #[task(dependencies = ["behind"])]
            pub async fn $name(context: $context) -> Result<(), TaskError> {
                context.insert_as("written", 4)
            }
        };
    }
    written!(r#match, &mut Context<Value>);

    /// Waits for one that nobody sees here.
    #[task(dependencies = ["match"])]
    pub async fn last(context: &mut Context<Value>) -> Result<(), TaskError> {
        context.insert_as("last", 5)
    }
}

/// Its body is never called.
#[trigger(on = "constructs", cron = "0 0 1 1 *")]
fn r#yearly() {}

#[passthrough_accumulator]
async fn prices(event: f64) -> f64 {
    event
}

#[polling_accumulator(interval = "1h")]
fn rates() -> Option<u32> {
    None
}

#[batch_accumulator(flush_interval = "1h", max_buffer_size = 2)]
async fn gathered(events: Vec<u32>) -> Option<u32> {
    events.into_iter().max()
}

#[stream_accumulator(type = "file", topic = "events.jsonl", state = HashMap<String, u64>)]
fn counted(event: String, seen: &mut HashMap<String, u64>) -> u64 {
    let count = seen.entry(event).or_default();
    *count += 1;
    *count
}

#[state_accumulator(capacity = 3)]
fn sums() -> VecDeque<i64> {
    VecDeque::new()
}

/// Fires for each of its sources.
#[reactor(name = "desk", accumulators = [prices, rates, gathered, counted, sums, r#loop], criteria = when_any)]
pub struct Desk;

#[computation_graph(trigger = reactor("desk"), graph = { input(prices, r#loop) -> terminals })]
mod r#move {
    pub async fn input(prices: Option<&f64>, _loop: Option<&u32>) -> f64 {
        prices.copied().unwrap_or_default()
    }
    pub async fn terminals(input: &f64) -> f64 {
        *input
    }
}
"##;

#[test]
fn every_construct_that_other_engines_take_compiles_without_a_warning_and_runs() {
    for edition in ["2021", "2024"] {
        let krate = Crate::of_source("constructs", CONSTRUCTS);
        let path = krate.folder.path().join("Cargo.toml");
        let manifest = std::fs::read_to_string(&path).expect("reads");
        std::fs::write(&path, manifest.replace("edition = \"2024\"", &format!("edition = \"{edition}\"")))
            .expect("writes");
        let longshore = Longshore::new();
        let ended = longshore.run(&["run", krate.path(), "--workflow", "constructs", "--json"]);
        assert_eq!(ended.code, Some(0), "{edition}: {}{}", ended.stdout, ended.stderr);
        assert!(!ended.stderr.contains("warning"), "{edition}: {}", ended.stderr);
        let context = &ended.json()["context"];
        assert_eq!(context["seen"], "86400 kind Some(3)", "{context}");
        assert_eq!((&context["written"], &context["last"]), (&4.into(), &5.into()), "{context}");
        // Without the feature, as its author works on it.
        let mut clippy = std::process::Command::new(env!("CARGO"));
        clippy
            .args(["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"])
            .args(["-A", "clippy::needless_lifetimes"]);
        let checked =
            clippy.current_dir(krate.folder.path()).envs(longshore_testing::throwaway_build()).output();
        let checked = checked.expect("cargo starts");
        assert!(checked.status.success(), "{edition}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}
