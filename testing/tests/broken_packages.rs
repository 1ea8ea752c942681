//! Broken packages, each with its code: in this process every one of them is caught before it can hurt, or is a
//! reason for isolation; isolated, the host survives all of them, and other packages' runs do not notice.

mod support;

use longshore_store::RunState;
use longshore_testing::{Kind, TestHost};
use std::path::Path;
use std::time::Duration;
use support::{as_an_ordinary_user, in_c, other_entries, variant};

/// The end of an isolated package.
enum Alone {
    /// It is refused with this code, and these words.
    Refused(&'static str, &'static str),
    /// It is loaded, and its run ends as lost, with these words.
    Lost(&'static str),
    /// It is loaded and works.
    Works,
}

use Alone::{Lost, Refused, Works};

/// Faults before a run: how each is made, the code it is caught with in this process (none when it only leaves
/// something behind), and what it comes to in a process of its own.
const BEFORE: [(&str, Option<&str>, Alone); 27] = [
    ("c:NULL_REGISTRY", Some("LS0303"), Refused("LS0313", "signal")),
    ("c:GARBAGE_REGISTRY", Some("LS0306"), Refused("LS0306", "magic")),
    ("c:WILD_REGISTRY", Some("LS0303"), Refused("LS0313", "segmentation fault")),
    ("c:DATA_SYMBOL", Some("LS0303"), Refused("LS0313", "segmentation fault")),
    ("c:LYING_COUNT", Some("LS0303"), Refused("LS0313", "signal")),
    ("c:NO_PLUGINS", Some("LS0306"), Refused("LS0306", "registers 0 packages")),
    ("c:NOTHING", Some("LS0306"), Refused("LS0306", "fidius_get_registry")),
    ("entries", Some("LS0307"), Refused("LS0307", "onlx")),
    ("ctor-exit", Some("LS0303"), Refused("LS0313", "exit status: 7")),
    ("ctor-abort", Some("LS0303"), Refused("LS0313", "abort")),
    ("ctor-segfault", Some("LS0303"), Refused("LS0313", "segmentation fault")),
    ("ctor-overflow", Some("LS0303"), Refused("LS0313", "a stack overflowed")),
    ("ctor-double-free", Some("LS0303"), Refused("LS0313", "abort")),
    ("ctor-panic", Some("LS0303"), Refused("LS0313", "abort")),
    ("ctor-block", Some("LS0304"), Refused("LS0313", "did not open its library")),
    ("ctor-close", Some("LS0303"), Refused("LS0313", "signal 6")),
    ("asked-panic", Some("LS0308"), Refused("LS0308", "corpus panics")),
    ("asked-exit", Some("LS0303"), Refused("LS0313", "exit status: 7")),
    ("asked-abort", Some("LS0303"), Refused("LS0313", "abort")),
    ("asked-block", Some("LS0304"), Refused("LS0313", "did not return")),
    ("ctor-fork", Some("LS0303"), Works),
    ("ctor-daemon", Some("LS0303"), Works),
    ("ctor-forge", Some("LS0303"), Refused("LS0313", "exit status: 0")),
    ("ctor-threads", None, Works),
    ("ctor-environment", None, Works),
    ("ctor-signals", None, Works),
    ("ctor-runtime", None, Works),
];

/// Faults in a run, or at the end. None of them shows in a probe: this is the purpose of isolation.
const IN_A_RUN: [(&str, Alone); 16] = [
    ("task-segfault", Lost("segmentation fault")),
    ("task-abort", Lost("abort")),
    ("task-exit", Lost("exit status: 7")),
    ("task-overflow", Lost("signal 11")),
    ("task-double-free", Lost("abort")),
    ("task-kill", Lost("signal 9")),
    // It aborts when it writes next, unless the host notices first.
    ("task-close", Lost("")),
    ("task-babble", Lost("over the limit")),
    ("task-daemon", Works),
    ("task-environment", Works),
    ("task-flood", Works),
    ("task-leak", Works),
    ("task-locals", Works),
    ("task-signals", Works),
    ("task-stubborn", Works),
    ("fini-block", Works),
];

/// The package that goes on whatever the others do.
const OTHER: &str = "corpus-999";

fn make(how: &str, number: u32, folder: &Path) -> Vec<u8> {
    match how.strip_prefix("c:") {
        Some(define) => in_c(define, number, folder),
        None if how == "entries" => other_entries(number, folder),
        None => variant(how, number),
    }
}

async fn with_other(folder: &Path, kind: Kind) -> TestHost {
    let host = support::open(folder, kind).await;
    host.put_library("other", &variant("well", 999));
    host.until_loaded(OTHER).await;
    host
}

async fn others_go_on(host: &TestHost, how: &str) {
    assert_eq!(host.run(OTHER).await.state, RunState::Succeeded, "{how}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_caught_before_it_can_hurt() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with_other(folder.path(), Kind::InProcess).await;
    for (number, (how, code, _)) in BEFORE.iter().enumerate() {
        let Some(code) = code else { continue };
        let name = format!("corpus-{number:03}");
        host.put_library("broken", &make(how, number as u32, folder.path()));
        let (caught, text) = host.until_refused(&name).await;
        assert_eq!(caught, *code, "{how}: {text}");
        others_go_on(&host, how).await;
        host.remove_library("broken");
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_package_leaves_behind_is_recorded_when_it_goes() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with_other(folder.path(), Kind::InProcess).await;
    for (number, (how, left)) in [
        ("well", "unmapped"),
        ("task-locals", "unmapped"),
        ("task-leak", "unmapped"),
        ("ctor-threads", "still mapped"),
        // Unmapped under it, the thread would take the host along.
        ("ctor-pthread", "still mapped"),
        ("ctor-handler", "unmapped"),
        ("ctor-runtime", "still mapped"),
        ("task-stubborn", "still mapped"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("corpus-{number:03}");
        host.put_library("untidy", &variant(how, number as u32));
        host.until_loaded(&name).await;
        assert_eq!(host.run(&name).await.state, RunState::Succeeded, "{how}");
        host.remove_library("untidy");
        let result = host.until_unloaded(&name).await;
        assert!(result.starts_with(left), "{how}: {result}");
        if *how == "ctor-handler" {
            let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
            let caught = u64::from_str_radix(caught.trim(), 16).expect("hexadecimal");
            assert_eq!(caught & (1 << 9), 0, "its handler of SIGUSR1 went with it");
        }
        others_go_on(&host, how).await;
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn isolated_the_host_survives_all_of_them() {
    let folder = tempfile::tempdir().expect("folder");
    let host = with_other(folder.path(), Kind::Isolated).await;
    let before = BEFORE.iter().map(|(how, _, alone)| (how, alone));
    for (number, (how, alone)) in before.chain(IN_A_RUN.iter().map(|(how, alone)| (how, alone))).enumerate() {
        let name = format!("corpus-{number:03}");
        host.put_library("broken", &make(how, number as u32, folder.path()));
        if let Refused(code, says) = alone {
            let (caught, text) = host.until_refused(&name).await;
            assert_eq!(caught, *code, "{how}: {text}");
            assert!(text.contains(says), "{how}: {text}");
            host.remove_library("broken");
        } else {
            host.until_loaded(&name).await;
            let report = host.run(&name).await;
            let error = report.error.clone().unwrap_or_default();
            match alone {
                Lost(says) => {
                    assert!(error.contains("PackageCrashed") && error.contains(says), "{how}: {error}");
                }
                _ => assert_eq!(report.state, RunState::Succeeded, "{how}: {error}"),
            }
            host.remove_library("broken");
            assert_eq!(host.until_unloaded(&name).await, "process ended", "{how}");
        }
        others_go_on(&host, how).await;
    }
    assert!(std::env::var_os("LONGSHORE_CORPUS").is_none(), "its environment is its own");
    host.close().await;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while processes("corpus-daemon") + children() > 0 {
        assert!(std::time::Instant::now() < deadline, "processes are left behind");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn all_of_it_holds_for_an_ordinary_user_too() {
    if !nix::unistd::geteuid().is_root() {
        // Then the other tests here have shown it.
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let mut tests = as_an_ordinary_user(folder.path());
    let ended = tests.output().expect("starts");
    let output = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{output}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(output.contains("4 passed"), "{output}");
}

/// Processes of isolated packages that are children of this one.
fn children() -> usize {
    let own = format!("PPid:\t{}\n", std::process::id());
    count(|read| read("cmdline").contains("__longshore-package") && read("status").contains(&own))
}

/// Processes of a name and of this user: the same tests may run as another one.
fn processes(name: &str) -> usize {
    let own = format!("Uid:\t{}\t", nix::unistd::geteuid());
    count(|read| read("comm").trim() == name && read("status").contains(&own))
}

fn count(is_one: impl Fn(&dyn Fn(&str) -> String) -> bool) -> usize {
    let entries = std::fs::read_dir("/proc").expect("procfs").flatten();
    let read = |entry: &std::fs::DirEntry, file: &str| {
        std::fs::read_to_string(entry.path().join(file)).unwrap_or_default()
    };
    entries.filter(|entry| is_one(&|file| read(entry, file))).count()
}
