//! Packages in a process of their own: what one does to itself costs that process.

mod support;

use longshore_engine::{RunReport, StartRequest};
use longshore_reconciler::Outcome;
use longshore_store::{EventKind, EventRow, RunState, Subject};
use longshore_testing::TestHost;
use std::time::Duration;
use support::{Crate, Longshore, build_into};

/// A package that does to its process what the params say.
const SOURCE: &str = r#"
longshore::package!();

fn overflow(depth: u64) -> u64 {
    let frame = [depth; 64];
    if std::hint::black_box(&frame).iter().sum::<u64>() == 1 { depth } else { 1 + overflow(depth + 1) }
}

fn misbehave(how: &str) {
    match how {
        "segfault" => unsafe { std::ptr::null_mut::<u8>().write_volatile(1) },
        "abort" => std::process::abort(),
        "exit" => std::process::exit(7),
        "overflow" => println!("{}", overflow(0)),
        "fill" => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 24]);
                std::hint::black_box(&kept);
            }
        }
        "spin" => loop { std::hint::spin_loop() },
        "double-free" => unsafe {
            let layout = std::alloc::Layout::new::<[u64; 4]>();
            let memory = std::alloc::alloc(layout);
            std::alloc::dealloc(memory, layout);
            std::alloc::dealloc(memory, layout);
        },
        _ => {}
    }
}

#[longshore::workflow(name = "moody", params(how: String = "well".to_owned(), times: u64 = 1))]
pub mod moody {
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    #[task(retry_attempts = 1)]
    pub async fn act(context: &mut Context<Value>) -> Result<(), TaskError> {
        let how: String = context.get_required("how")?;
        println!("about to {how}");
        super::misbehave(&how);
        context.insert_as("pid", std::process::id())
    }
}

#[longshore::trigger(on = "moody", poll_interval = "1h")]
pub async fn never() -> Result<longshore::TriggerResult, longshore::TriggerError> {
    Ok(longshore::TriggerResult::Skip)
}
"#;

fn moody(folder: &std::path::Path) -> std::path::PathBuf {
    let krate = Crate::of_source("moody", SOURCE);
    let path = krate.folder.path().join("Cargo.toml");
    let mut manifest = std::fs::read_to_string(&path).expect("reads");
    manifest.push_str(
        "\n[package.metadata.longshore]\nisolation = \"process\"\n\n\
         [package.metadata.longshore.limits]\nmemory_mb = 512\ntask_timeout_ms = 800\n",
    );
    std::fs::write(&path, manifest).expect("writes");
    build_into(&krate, folder)
}

async fn run(host: &TestHost, how: &str) -> RunReport {
    let mut request = StartRequest { workflow: "moody".into(), ..StartRequest::default() };
    request.params.insert("how".into(), how.into());
    let run = host.start(request).await.expect("starts").run;
    let ended = tokio::time::timeout(Duration::from_secs(60), host.wait(run)).await;
    ended.unwrap_or_else(|_| panic!("{how} does not end")).expect("ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_package_does_costs_its_own_process() {
    let folder = tempfile::tempdir().expect("folder");
    let built = moody(folder.path());
    let host = support::open_host(folder.path()).await;
    host.put(&built, "moody.longshore");
    host.put(support::hello(), "hello.longshore");
    host.until_all_loaded(&["moody", "hello"]).await;
    let report = run(&host, "well").await;
    assert_eq!(report.state, RunState::Succeeded, "{report:?}");
    assert!(!report.context.get().contains(&format!("\"pid\":{}", std::process::id())), "another process");

    for (how, says) in [
        ("segfault", "signal 11 (segmentation fault)"),
        ("abort", "signal 6 (abort)"),
        ("exit", "exit status: 7"),
        // Threads of the package itself have no stack for signals: there is no more to say.
        ("overflow", "signal 11"),
        ("fill", "memory allocation of"),
        ("double-free", "signal 6 (abort)"),
        ("spin", "went on after its deadline"),
    ] {
        let report = run(&host, how).await;
        assert_eq!(report.state, RunState::Failed, "{how}: {report:?}");
        let error = report.error.clone().unwrap_or_default();
        assert!(error.contains("PackageCrashed") && error.contains(says), "{how}: {error}");
        let hello = StartRequest { workflow: "hello".into(), ..StartRequest::default() };
        let other = host.start(hello).await.expect("starts").run;
        assert_eq!(host.wait(other).await.expect("ends").state, RunState::Succeeded, "{how}");
        assert_eq!(run(&host, "well").await.state, RunState::Succeeded, "after {how}");
    }
    let report = host.pass().await;
    assert!(report.outcomes.iter().any(|o| matches!(o, Outcome::Crashed { name, .. } if name == "moody")));
    let events =
        EventRow::newest(host.engine().store(), Subject::Package(&"moody".into()), 100).await.expect("lists");
    let crash = events
        .iter()
        .filter(|e| e.kind == EventKind::Crashed)
        .find(|e| e.message.contains("about to segfault"));
    let crash = &crash.expect("a crash report").message;
    assert!(crash.contains("signal 11") && crash.contains("moody::misbehave"), "{crash}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_package_is_swapped_and_its_process_ends() {
    let folder = tempfile::tempdir().expect("folder");
    let built = moody(folder.path());
    let host = support::open_host(folder.path()).await;
    host.put(&built, "moody.longshore");
    host.until_all_loaded(&["moody"]).await;
    let context = run(&host, "well").await.context;
    let context: serde_json::Value = serde_json::from_str(context.get()).expect("JSON");
    let process = format!("/proc/{}", context["pid"]);
    assert!(std::path::Path::new(&process).exists());
    std::fs::remove_file(host.packages.join("moody.longshore")).expect("removes");
    loop {
        for outcome in host.pass_with_outcome().await.outcomes {
            if let Outcome::Unloaded { result, .. } = outcome {
                assert_eq!(result.to_string(), "process ended");
                assert!(!std::path::Path::new(&process).exists());
                host.close().await;
                return;
            }
        }
    }
}

#[test]
fn a_process_is_restarted_from_the_program_of_its_host_although_an_upgrade_replaced_the_file() {
    let mut longshore = Longshore::new();
    moody(&longshore.home.path().join("packages"));
    let command = std::mem::replace(&mut longshore.program, longshore.home.path().join("longshore"));
    std::fs::copy(&command, &longshore.program).expect("copies");
    let host = longshore.spawn(&["serve"], &[]);
    let replaced = std::mem::replace(&mut longshore.program, command);
    let process = || {
        let ended = longshore.run(&["runs", "start", "moody", "--wait", "--json"]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, longshore.log());
        ended.json()["context"]["pid"].as_i64().expect("a process")
    };
    let before = process();
    let newer = longshore.home.path().join("newer");
    std::fs::write(&newer, "#!/bin/sh\nexit 9\n").expect("writes");
    std::fs::set_permissions(&newer, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("makes it run");
    std::fs::rename(&newer, &replaced).expect("replaces");
    let killed = std::process::Command::new("kill").args(["-KILL", &before.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_ne!(process(), before);
    assert_eq!(host.stop(), Some(0), "{}", longshore.log());
}
