//! Reactors as their operator sees them: replay, kill -9, several packages.

mod support;

use longshore_engine::Packages;
use longshore_store::{Access, OutputRow, Store};
use longshore_testing::TestHost;
use longshore_workflow::{InputCache, deserialize, serialize};
use market_maker::Reference;
use market_maker::book::{Book, BookUpdate, Top};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::{Crate, Longshore, build_example, build_into, repository};

#[derive(Deserialize)]
struct Line {
    source: String,
    event: Value,
}

/// The result of each line of the recorded session, computed directly: terminal and value.
async fn expected() -> Vec<(String, Value)> {
    let path = repository().join("examples/market-maker/data/session.jsonl");
    let text = std::fs::read_to_string(path).expect("the session");
    let (mut cache, mut book) = (InputCache::new(), Book::default());
    let mut outputs = Vec::new();
    for line in text.lines() {
        let Line { source, event } = serde_json::from_str(line).expect("a line");
        let value = if source == "order_book" {
            book.apply(&serde_json::from_value::<BookUpdate>(event).expect("an update"));
            serialize::<Option<Top>>(&book.top())
        } else {
            serialize(&serde_json::from_value::<Reference>(event).expect("a reference"))
        };
        cache.update(source.as_str().into(), value.expect("serializes"));
        let result = market_maker::making_compiled(&cache).await;
        let (terminal, value) = result.outputs_json().remove(0);
        outputs.push((terminal.to_owned(), value));
    }
    outputs
}

fn counts(outputs: &[(String, Value)]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    outputs.iter().for_each(|(terminal, _)| *counts.entry(terminal.clone()).or_default() += 1);
    counts
}

#[tokio::test]
async fn a_replay_of_the_example_fires_as_a_direct_computation_does() {
    let longshore = Longshore::new();
    let example = repository().join("examples/market-maker");
    let ended = longshore.run(&["run", example.to_str().expect("UTF-8"), "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = ended.json();
    let expected = expected().await;
    assert_eq!(report["firings"], serde_json::to_value(counts(&expected)).expect("JSON"));
    let large = expected.iter().filter(|(_, value)| value["size"].as_f64().is_some_and(|size| size > 19.0));
    assert_eq!(report["runs"]["succeeded"], large.count());

    let shown = longshore.run(&["reactors", "show", "market", "--json"]).json();
    assert_eq!(shown["reactor"]["fired"], expected.len());
    let text = longshore.run(&["graphs", "show", "making"]).stdout;
    assert!(text.contains("decide(order_book, pricing)") && text.contains("Quote -> place_quote"), "{text}");
    let svg = longshore.run(&["graphs", "show", "making", "--svg"]).stdout;
    assert!(svg.starts_with("<?xml") && svg.contains("place_quote</tspan>"), "{svg}");
    assert_eq!(longshore.run(&["graphs", "show", "nobody", "--json"]).error_code(), "LS0710");
    assert_eq!(longshore.run(&["workflows", "show", "nobody", "--json"]).error_code(), "LS0710");
    assert_eq!(longshore.run(&["reactors", "fire", "nobody", "--json"]).error_code(), "LS0606");
    assert_eq!(
        longshore.run(&["reactors", "push", "market", "nobody", "1", "--json"]).error_code(),
        "LS0607"
    );
    assert_eq!(longshore.run(&["reactors", "fire", "market", "--json"]).error_code(), "LS0617");

    let why = ["--actor", "alice", "--reason", "the feed is wrong"];
    let asked = longshore.run(&[&["reactors", "pause", "market"][..], &why].concat());
    assert!(asked.stdout.starts_with("recorded"), "{}{}", asked.stdout, asked.stderr);
    let text = longshore.run(&["reactors", "show", "market"]).stdout;
    assert!(text.contains("pause asked by alice: the feed is wrong"), "{text}");
}

/// The effects of a sequential reactor, each before it dies there.
const POINTS: [&str; 5] = [
    "reactor.inputs_recorded=1*off->sleep(60000)",
    "reactor.processed=sleep(60000)",
    "reactor.processed=2*off->sleep(60000)",
    "reactor.outputs_recorded=sleep(60000)",
    "reactor.outputs_recorded=3*off->sleep(60000)",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_input_is_processed_once_however_often_the_host_dies() {
    let package = build_example("market-maker");
    let expected = expected().await;
    std::thread::scope(|scope| {
        for point in POINTS {
            let (package, expected) = (&package, &expected);
            scope.spawn(move || kill_at(point, package, expected));
        }
    });
}

fn kill_at(point: &str, package: &Path, expected: &[(String, Value)]) {
    let longshore = Longshore::new();
    let packages = longshore.home.path().join("packages");
    std::fs::create_dir_all(&packages).expect("folder");
    std::fs::create_dir_all(longshore.home.path().join("data")).expect("folder");
    let session = repository().join("examples/market-maker/data/session.jsonl");
    std::fs::copy(session, longshore.home.path().join("data/session.jsonl")).expect("copies");
    std::fs::copy(package, packages.join("market-maker.longshore")).expect("copies");
    let host = longshore.spawn(&["serve"], &[("FAILPOINTS", point)]);
    longshore.wait_until(point, || host.sleeps_at_its_failpoint());
    host.kill_9();

    let again = longshore.spawn(&["serve"], &[]);
    longshore.wait_until("everything is processed", || {
        let shown = longshore.run(&["reactors", "show", "market", "--json"]);
        shown.code == Some(0)
            && shown.json()["reactor"]["fired"] == expected.len()
            && shown.json()["reactor"]["pending"] == 0
    });
    assert_eq!(again.stop(), Some(0), "{point}: {}", longshore.log());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let outputs = runtime.block_on(async {
        let store = Store::open_file(&longshore.home.path().join("longshore.db"), Access::Client).await;
        OutputRow::after(&store.expect("opens"), "market", 0, 100_000).await.expect("loads")
    });
    let seen: Vec<(i64, String, Value)> = outputs
        .into_iter()
        .map(|row| (row.seq, row.terminal, deserialize(&row.value).expect("a value")))
        .collect();
    let numbered = expected
        .iter()
        .enumerate()
        .map(|(i, (terminal, value))| (i as i64 + 1, terminal.clone(), value.clone()));
    assert!(seen == numbered.collect::<Vec<_>>(), "{point}: the outputs differ");
}

/// A package that owns the reactor `feed`, with these sources.
fn owner(version: &str, sources: &str) -> Crate {
    let source = format!(
        "longshore::package!();\n\n#[longshore::reactor(name = \"feed\", accumulators = [{sources}], \
         criteria = when_any(numbers), input_strategy = \"sequential\")]\npub struct Feed;\n"
    );
    with_version(Crate::of_source("owner", &source), version)
}

/// A package whose graph is bound to another package's reactor.
fn subscriber(version: &str, plus: i64) -> Crate {
    let source = format!(
        "longshore::package!();\n\n\
         #[longshore::computation_graph(trigger = reactor(\"feed\"), graph = {{ add(numbers, factor) }})]\n\
         pub mod adding {{\n    pub async fn add(n: Option<&i64>, factor: Option<&i64>) -> i64 {{\n        \
         n.copied().unwrap_or(0) * factor.copied().unwrap_or(1) + {plus}\n    }}\n}}\n"
    );
    with_version(Crate::of_source("subscriber", &source), version)
}

fn with_version(krate: Crate, version: &str) -> Crate {
    let path = krate.folder.path().join("Cargo.toml");
    let text = std::fs::read_to_string(&path).expect("reads").replace("0.1.0", version);
    std::fs::write(path, text).expect("writes");
    krate
}

async fn push(host: &TestHost, source: &str, value: i64) {
    let value = value.into();
    for _ in 0..200 {
        if host.reactors().push("feed", source, &value).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the reactor does not run");
}

async fn outputs(host: &TestHost, count: usize) -> Vec<(i64, i64)> {
    for _ in 0..500 {
        let rows = OutputRow::after(host.engine().store(), "feed", 0, 1000).await.expect("loads");
        if rows.len() >= count {
            return rows.iter().map(|row| (row.seq, deserialize(&row.value).expect("a number"))).collect();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{:#?}", host.reactors().list());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_of_another_package_is_bound_kept_fed_and_swapped_without_a_loss() {
    let folder = tempfile::tempdir().expect("folder");
    let built = |krate: &Crate, name: &str| -> PathBuf { build_into(krate, &folder.path().join(name)) };
    let (own, own2) = (
        built(&owner("1.0.0", "numbers, factor"), "o1"),
        built(&owner("2.0.0", "extra, factor, numbers"), "o2"),
    );
    let (sub, sub2) = (built(&subscriber("1.0.0", 0), "s1"), built(&subscriber("2.0.0", 1000), "s2"));
    let host = support::open_host(folder.path()).await;

    // Without its reactor it is refused, with the reactor's package it is loaded: in one pass, after it.
    host.put(&sub, "a-subscriber.longshore");
    host.expect_refused("LS0405").await;
    host.put(&own, "z-owner.longshore");
    host.until_all_loaded(&["owner", "subscriber"]).await;
    push(&host, "factor", 2).await;
    push(&host, "numbers", 5).await;
    assert_eq!(outputs(&host, 1).await, [(2, 10)]);

    // The owner stays as long as somebody is bound to its reactor.
    std::fs::remove_file(host.packages.join("z-owner.longshore")).expect("removes");
    let message = host.expect_refused("LS0407").await;
    assert!(message.contains("`adding`") && message.contains("`subscriber`"), "{message}");
    host.put(&own2, "z-owner.longshore");
    host.until_all_loaded(&["owner"]).await;
    push(&host, "numbers", 6).await;
    assert_eq!(outputs(&host, 2).await, [(2, 10), (3, 12)], "the factor outlived the swap");

    // Events that are pushed while the subscriber is swapped are all there, each by one version.
    host.put(&sub2, "a-subscriber.longshore");
    let reactors = host.reactors();
    let pushing = async {
        for n in 0..100_i64 {
            reactors.push("feed", "numbers", &n.into()).await.expect("taken");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::join!(pushing, host.until_all_loaded(&["subscriber"]));
    push(&host, "numbers", 1).await;
    let all = outputs(&host, 103).await;
    let seqs: Vec<i64> = all.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (2..=104).collect::<Vec<_>>());
    assert_eq!(all.last(), Some(&(104, 1002)));
    assert!(host.loaded().catalog().graphs.len() == 1);
    host.close().await;
}
