//! A host whose database is on a server, and one whose engine dies.

mod support;

use longshore_testing::Postgres;
use support::{Ended, Longshore, Running, hello};

longshore_testing::on_postgres! {
    async fn one_host_and_every_command_work_on_a_server() {
        let url = Postgres::shared().database("cli::server");
        tokio::task::spawn_blocking(move || on_a_server(&url)).await.expect("no panic");
    }
}

fn on_a_server(url: &str) {
    let longshore = Longshore::new();
    let on = |args: &[&str]| {
        Ended::of(&longshore.command(args).env("LONGSHORE_DATABASE", url).output().expect("starts"))
    };
    let file = hello().to_str().expect("UTF-8");
    let added = on(&["packages", "add", file, "--json"]);
    assert_eq!(added.code, Some(0), "{}{}", added.stdout, added.stderr);
    let ran = on(&["run", file, "--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(!longshore.home.path().join("longshore.db").exists(), "the home has no database");
    let host = longshore.spawn(&["serve"], &[("LONGSHORE_DATABASE", url)]);
    longshore.wait_until("hello is active", || {
        let packages = on(&["packages", "--json"]);
        packages.code == Some(0) && packages.json()["generations"][0]["state"] == "active"
    });
    assert_eq!(on(&["run", file, "--json"]).error_code(), "LS0508", "one host at a time");
    assert_eq!(on(&["packages", "hold", "hello", "--json"]).code, Some(0));
    for args in [["runs", "list"], ["packages", "check"], ["reactors", "list"]] {
        let ended = longshore.run(&[args[0], args[1], "--database", url, "--json"]);
        assert_eq!(ended.code, Some(0), "{args:?}: {}{}", ended.stdout, ended.stderr);
    }
    let runs = on(&["runs", "list", "--json"]).json();
    assert_eq!(runs["runs"][0]["state"], "succeeded", "{runs}");
    assert_eq!(host.stop(), Some(0), "{}", longshore.log());
    assert!(longshore.log().contains("postgres://127.0.0.1"), "{}", longshore.log());
}

/// The exit code of a host that ends by itself.
fn ends(longshore: &Longshore, mut host: Running) -> Option<i32> {
    let mut ended = None;
    longshore.wait_until("it ends", || {
        ended = host.0.try_wait().expect("waits");
        ended.is_some()
    });
    ended.and_then(|status| status.code())
}

#[test]
fn a_host_whose_engine_dies_ends_and_says_so() {
    let longshore = Longshore::new();
    let host = longshore.spawn(&["serve"], &[("FAILPOINTS", "engine.before_commit=panic")]);
    assert_eq!(ends(&longshore, host), Some(1));
    assert!(longshore.log().contains("LS0611"), "{}", longshore.log());
}

#[test]
fn a_host_whose_home_is_moved_ends_and_says_so() {
    let longshore = Longshore::new();
    let (home, moved) = (longshore.home.path().join("home"), longshore.home.path().join("moved"));
    let host = longshore.spawn(&["serve", "--home", home.to_str().expect("UTF-8")], &[]);
    longshore.wait_until("it serves", || longshore.log().contains("sqlite:"));
    std::fs::rename(&home, &moved).expect("moves");
    assert_eq!(ends(&longshore, host), Some(1));
    assert!(longshore.log().contains("LS0518"), "{}", longshore.log());
}
