//! Packages in a host of this process: swap, pinning, conflicts, triggers.

mod support;

use longshore_engine::{Packages, StartRequest};
use longshore_package::{Archive, ArchiveLimits, host_target, pack, target_path};
use longshore_reconciler::Outcome;
use longshore_store::{
    ConditionKind, ConditionRow, ConditionStatus, EventKind, EventRow, RunRow, RunState, Subject,
};
use std::collections::BTreeSet;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::Path;
use std::time::Duration;
use support::{Crate, build_into, one_task};

/// A crate whose one task says its version once the file named by the context's key `gate` is there.
fn gated(version: &str) -> Crate {
    let body = format!(
        "let gate: String = context.get_required(\"gate\")?;\n        \
         while !std::path::Path::new(&gate).exists() {{ tokio::time::sleep(std::time::Duration::from_millis(10)).await; }}\n        \
         context.insert_as(\"version\", \"{version}\")"
    );
    let krate = Crate::of_source("gated", &one_task("gated", &body));
    let path = krate.folder.path().join("Cargo.toml");
    let text = std::fs::read_to_string(&path).expect("reads").replace("0.1.0", version);
    let text = text.replace(
        "serde_json = \"1\"",
        "serde_json = \"1\"\ntokio = { version = \"1\", features = [\"time\"] }",
    );
    std::fs::write(&path, text).expect("writes");
    krate
}

fn request(workflow: &str, gate: &Path) -> StartRequest {
    let mut request = StartRequest { workflow: workflow.into(), ..StartRequest::default() };
    request.params.insert("gate".into(), gate.display().to_string().into());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_pins_running_runs_and_lets_the_old_generation_go_when_they_end() {
    let folder = tempfile::tempdir().expect("folder");
    let (old, new) = (build_into(&gated("1.0.0"), folder.path()), build_into(&gated("2.0.0"), folder.path()));
    let gate = folder.path().join("gate");
    let host = support::open_host(folder.path()).await;
    host.put(&old, "gated.longshore");
    let report = host.pass_with_outcome().await;
    assert!(
        matches!(&report.outcomes[..], [Outcome::Loaded { version, .. }] if version == "1.0.0"),
        "{report:?}"
    );
    let first = host.start(request("gated", &gate)).await.expect("starts").run;

    host.put(&new, "gated.longshore");
    let report = host.pass_with_outcome().await;
    assert!(
        matches!(&report.outcomes[..], [Outcome::Loaded { version, .. }] if version == "2.0.0"),
        "{report:?}"
    );
    let second = host.start(request("gated", &gate)).await.expect("starts").run;
    assert_eq!(host.loaded().catalog().digests.len(), 2, "the old generation drains");

    std::fs::write(&gate, "").expect("opens the gate");
    for (run, version) in [(first, "1.0.0"), (second, "2.0.0")] {
        let report = host.wait(run).await.expect("ends");
        assert_eq!((report.state, report.version.as_str()), (RunState::Succeeded, version));
        assert!(report.context.get().contains(&format!("\"version\":\"{version}\"")), "{}", report.context);
    }
    let report = host.pass_with_outcome().await;
    let result = match &report.outcomes[..] {
        [Outcome::Unloaded { result, .. }] => result.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(result, longshore_testing::unload_result());

    // A copy that went wrong does not take the package away.
    let bytes = std::fs::read(&new).expect("reads");
    std::fs::write(host.packages.join("gated.longshore"), &bytes[..1000]).expect("writes");
    let report = host.pass_with_outcome().await;
    assert!(matches!(&report.outcomes[..], [Outcome::Refused { .. }]), "{report:?}");
    assert!(host.start(request("gated", &gate)).await.is_ok());
    assert_eq!(host.loaded().catalog().digests.len(), 1);
    host.close().await;
}

/// A gated crate whose workflow takes its open runs along, with a second task after the gate.
fn migrating(version: &str) -> Crate {
    let source = format!(
        "{}\n",
        one_task("gated", "let gate: String = context.get_required(\"gate\")?;\n        \
            if !std::path::Path::new(&gate).exists() { return Err(TaskError::ExecutionFailed { message: \"closed\".into(), task_id: \"only\".into(), timestamp: Default::default() }); }\n        \
            context.insert_as(\"version\", env!(\"CARGO_PKG_VERSION\"))")
            .replace("retry_attempts = 1", "retry_attempts = 1000, retry_backoff = \"fixed\", retry_delay_ms = 50")
    );
    let krate = Crate::of_source("gated", &source);
    let path = krate.folder.path().join("Cargo.toml");
    let text = std::fs::read_to_string(&path).expect("reads").replace("0.1.0", version);
    let text = format!("{text}\n[package.metadata.longshore.on_upgrade]\ngated = \"migrate\"\n");
    std::fs::write(&path, text).expect("writes");
    krate
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_migrates_takes_its_open_runs_to_the_next_version() {
    let folder = tempfile::tempdir().expect("folder");
    let (old, new) =
        (build_into(&migrating("1.0.0"), folder.path()), build_into(&migrating("2.0.0"), folder.path()));
    let gate = folder.path().join("gate");
    let host = support::open_host(folder.path()).await;
    host.put(&old, "gated.longshore");
    host.until_all_loaded(&["gated"]).await;
    let run = host.start(request("gated", &gate)).await.expect("starts").run;
    host.put(&new, "gated.longshore");
    host.until_all_loaded(&["gated"]).await;
    std::fs::write(&gate, "").expect("opens the gate");
    let report = host.wait(run).await.expect("ends");
    assert_eq!((report.state, report.version.as_str()), (RunState::Succeeded, "2.0.0"), "{report:?}");
    assert!(report.context.get().contains("\"version\":\"2.0.0\""), "{}", report.context);
    let events =
        EventRow::newest(host.engine().store(), Subject::Package(&"gated".into()), 50).await.expect("lists");
    assert!(events.iter().any(|e| e.message == "1 open runs of `gated` go on with 2.0.0"), "{events:?}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_packages_with_one_workflow_name_the_second_is_refused_and_the_first_runs() {
    let folder = tempfile::tempdir().expect("folder");
    let first = build_into(
        &Crate::of_source("claims-first", &one_task("contested", "let _ = context; Ok(())")),
        folder.path(),
    );
    let second = build_into(
        &Crate::of_source("claims-second", &one_task("contested", "let _ = context; Ok(())")),
        folder.path(),
    );
    let host = support::open_host(folder.path()).await;
    host.put(&first, "a.longshore");
    host.pass_with_outcome().await;
    host.put(&second, "b.longshore");
    let report = host.pass_with_outcome().await;
    match &report.outcomes[..] {
        [Outcome::Refused { name, error }] => {
            assert_eq!((name.as_str(), error.code()), ("claims-second", "LS0401"))
        }
        other => panic!("{other:?}"),
    }
    let run = host.start(StartRequest { workflow: "contested".into(), ..StartRequest::default() }).await;
    assert_eq!(host.wait(run.expect("starts").run).await.expect("ends").package, "claims-first");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_a_package_start_its_workflow_and_those_of_nobody_are_noted() {
    let folder = tempfile::tempdir().expect("folder");
    let triggers = r#"
#[longshore::trigger(on = "fired", poll_interval = "50ms", allow_concurrent = true)]
pub async fn looks() -> Result<longshore::TriggerResult, longshore::TriggerError> {
    let mut context = longshore::Context::new();
    context.insert("by", serde_json::json!("poll"))?;
    Ok(longshore::TriggerResult::Fire(Some(context)))
}

#[longshore::trigger(on = "fired", cron = "* * * * * *")]
pub async fn every_second() {}

#[longshore::trigger(on = "nobody-has-this", cron = "* * * * * *", name = "lost")]
pub async fn lost() {}
"#;
    let source = format!("{}{triggers}", one_task("fired", "let _ = context; Ok(())"));
    let built = build_into(&Crate::of_source("fired", &source), folder.path());
    let host = support::open_host(folder.path()).await;
    host.put(&built, "fired.longshore");
    host.pass_with_outcome().await;
    let store = host.engine().store().clone();
    let mut seen = Vec::new();
    for _ in 0..200 {
        let runs = RunRow::newest(&store, Some(RunState::Succeeded), 1000).await.expect("lists");
        seen = runs.into_iter().map(|run| (run.origin, run.input)).collect();
        let events = EventRow::newest(&store, Subject::Schedule("lost"), 10).await.expect("lists");
        let noted = events.iter().any(|e| e.kind == EventKind::NotStarted && e.message.starts_with("LS0601"));
        let has = |origin: &str, input: &str| seen.iter().any(|(o, i)| o == origin && i == input);
        if noted && has("poll:looks", r#"{"by":"poll"}"#) && has("cron:every_second", "{}") {
            host.close().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the triggers did not fire: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_blocks_its_thread_after_its_deadline_has_timed_out_while_it_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let body = "let _ = context; std::thread::sleep(std::time::Duration::from_secs(12)); Ok(())";
    let krate = Crate::of_source("blocks", &one_task("blocks", body));
    let path = krate.folder.path().join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).expect("reads");
    let limits = "\n[package.metadata.longshore.limits]\ntask_timeout_ms = 300\n";
    std::fs::write(&path, manifest + limits).expect("writes");
    let host = support::open_host(folder.path()).await;
    host.put(&build_into(&krate, folder.path()), "blocks.longshore");
    host.until_all_loaded(&["blocks"]).await;
    let request = StartRequest { workflow: "blocks".into(), ..StartRequest::default() };
    let run = host.start(request).await.expect("starts").run;
    let report = host.wait(run).await.expect("ends");
    let task = &report.tasks[0];
    let took = task.finished_at.expect("it ended") - task.started_at.expect("it began");
    assert!(took < 10_000, "it is told while its code goes on: {took} ms");
    let error = task.error.clone().expect("it failed");
    let told = if longshore_testing::isolated() {
        "went on after its deadline"
    } else {
        "timed out after 300 ms, and goes on"
    };
    assert!(error.contains(told), "{error}");
    host.close().await;
}

/// A package of a tenant, with a workflow that subscribes to a trigger of another package.
fn of_tenant(tenant: &str) -> Crate {
    let source = format!(
        r#"longshore::package!();

#[longshore::workflow(name = "report", tenant = "{tenant}", triggers = ["elsewhere"])]
pub mod report {{
    #[longshore::task]
    pub async fn write(_context: &mut longshore::Context<serde_json::Value>) -> Result<(), longshore::TaskError> {{
        Ok(())
    }}
}}

#[longshore::trigger(on = "report", poll_interval = "50ms", allow_concurrent = true)]
pub async fn looks() -> Result<longshore::TriggerResult, longshore::TriggerError> {{
    Ok(longshore::TriggerResult::Fire(None))
}}

#[longshore::reactor(name = "ticks", accumulators = [numbers], criteria = when_any(numbers))]
pub struct Ticks;
"#
    );
    Crate::of_source(&format!("of-{tenant}"), &source)
}

async fn is_unresolved(host: &longshore_testing::TestHost, package: &str) -> Option<String> {
    let conditions = ConditionRow::all(host.engine().store()).await.expect("lists");
    let subject = Subject::Package(&package.into()).to_string();
    let of_package =
        conditions.into_iter().find(|c| c.subject == subject && c.kind == ConditionKind::Unresolved);
    of_package.filter(|c| c.status == ConditionStatus::True).map(|c| format!("{} {}", c.reason, c.message))
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_have_triggers_and_reactors_of_one_name_and_what_names_nothing_is_a_condition() {
    let folder = tempfile::tempdir().expect("folder");
    let host = support::open_host(folder.path()).await;
    for tenant in ["acme", "bolt"] {
        host.put(&build_into(&of_tenant(tenant), folder.path()), &format!("{tenant}.longshore"));
    }
    host.until_all_loaded(&["of-acme", "of-bolt"]).await;
    let names: Vec<_> = host.loaded().catalog().reactors.iter().map(|def| def.name.clone()).collect();
    assert_eq!(names, ["acme/ticks", "bolt/ticks"]);
    let store = host.engine().store().clone();
    let mut origins = BTreeSet::new();
    while origins.len() < 2 {
        let runs = RunRow::newest(&store, Some(RunState::Succeeded), 1000).await.expect("lists");
        origins.extend(runs.into_iter().map(|run| (run.tenant.to_string(), run.origin)));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let own = |tenant: &str| (tenant.to_owned(), format!("poll:{tenant}/looks"));
    assert_eq!(origins, BTreeSet::from([own("acme"), own("bolt")]));

    for package in ["of-acme", "of-bolt"] {
        let told = is_unresolved(&host, package).await.expect("nobody has the trigger");
        assert!(told.starts_with("LS0410") && told.contains("subscribes to trigger `elsewhere`"), "{told}");
    }
    let cron = "\n#[longshore::trigger(on = \"other\", cron = \"0 0 1 1 *\")]\npub async fn elsewhere() {}\n";
    let source = format!("{}{cron}", one_task("other", "let _ = context; Ok(())"));
    host.put(&build_into(&Crate::of_source("other", &source), folder.path()), "other.longshore");
    host.until_all_loaded(&["other"]).await;
    host.pass().await;
    assert_eq!(is_unresolved(&host, "of-acme").await, None);

    // With a workflow of another tenant its reactor would have another name.
    let source = std::fs::read_to_string(of_tenant("acme").folder.path().join("src/lib.rs")).expect("reads");
    let public = one_task("shared", "let _ = context; Ok(())").replace("longshore::package!();", "");
    let krate = Crate::of_source("of-acme", &format!("{source}{public}"));
    host.put(&build_into(&krate, folder.path()), "acme.longshore");
    let refused = host.expect_refused("LS0411").await;
    assert!(refused.contains("`acme/ticks` would become `ticks`"), "{refused}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_package_is_gone_goes_on_with_the_cached_package_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let built = build_into(&gated("1.0.0"), folder.path());
    let gate = folder.path().join("gate");
    let host = support::open_host(folder.path()).await;
    host.put(&built, "gated.longshore");
    host.until_all_loaded(&["gated"]).await;
    let run = host.start(request("gated", &gate)).await.expect("starts").run;
    host.shut_down(Duration::ZERO).await;
    std::fs::remove_file(folder.path().join("packages/gated.longshore")).expect("removes");
    let cache = std::fs::read_dir(folder.path().join("cache")).expect("the cache");
    let copy = cache.flatten().next().expect("a digest").path();
    let library = copy.join(format!("{DLL_PREFIX}gated{DLL_SUFFIX}"));

    // A copy that was changed is not opened; the one that was checked is.
    let bytes = std::fs::read(&library).expect("reads");
    std::fs::write(&library, &bytes[..bytes.len() - 1]).expect("writes");
    let host = support::open_host(folder.path()).await;
    let message = host.expect_refused("LS0312").await;
    assert!(message.contains("was changed"), "{message}");
    std::fs::write(&library, &bytes).expect("writes");
    let report = host.pass_with_outcome().await;
    assert!(
        matches!(&report.outcomes[..], [Outcome::Restored { name, .. }] if name == "gated"),
        "{report:?}"
    );
    assert!(host.start(request("gated", &gate)).await.is_err(), "no new run starts on it");
    std::fs::write(&gate, "").expect("opens the gate");
    assert_eq!(host.wait(run).await.expect("ends").state, RunState::Succeeded);
    let report = host.pass_with_outcome().await;
    assert!(matches!(&report.outcomes[..], [Outcome::Unloaded { .. }]), "{report:?}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_manifest_speaks_of_another_package_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let limits = ArchiveLimits::default();
    let mut archive = Archive::open(support::hello(), limits).expect("opens");
    let library = archive.library(&host_target()).expect("a library");
    let mut manifest = archive.manifest().clone();
    manifest.package.name = "somebody-else".into();
    let file = (target_path(&host_target(), &library.name), library.bytes);
    let (_, bytes) = pack(&manifest, &[file]).expect("packs");
    let host = support::open_host(folder.path()).await;
    std::fs::write(host.packages.join("other.longshore"), bytes).expect("writes");
    let message = host.expect_refused("LS0310").await;
    assert!(message.contains("`somebody-else 0.1.0`") && message.contains("`hello 0.1.0`"), "{message}");
    host.close().await;
}
