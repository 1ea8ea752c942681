//! Packages go from their authors through registries to hosts.

mod support;

use longshore_testing::{Faults, FileServer, container_registry, object_store};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use support::{Crate, Ended, Longshore, build_into, one_task};

/// Makes hosts ask their registries often.
const SERVE: &[&str] = &["serve", "--registry-interval", "1"];

fn ok(ended: Ended) -> Ended {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    ended
}

/// The archives of three versions of a package, built once.
fn versions() -> &'static [PathBuf; 3] {
    static BUILT: OnceLock<[PathBuf; 3]> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = longshore_testing::throwaway_target().join("published");
        let krate = Crate::of_source("rates", &one_task("rates", "context.insert_as(\"rate\", 7)"));
        let manifest = krate.folder.path().join("Cargo.toml");
        let first = fs::read_to_string(&manifest).expect("reads");
        ["1.0.0", "1.1.0", "1.2.0"].map(|version| {
            fs::write(&manifest, first.replacen("0.1.0", version, 1)).expect("writes");
            build_into(&krate, &out)
        })
    })
}

/// The command with a registry, and a cache and credentials of its own.
struct Session {
    longshore: Longshore,
    environment: Vec<(String, String)>,
}

impl Session {
    fn new(registry: &str, environment: &[(&str, &str)]) -> Self {
        let longshore = Longshore::new();
        let cache = longshore.home.path().join("xdg").display().to_string();
        let own = [("LONGSHORE_REGISTRY", registry), ("XDG_CACHE_HOME", &cache), ("NETRC", "/nowhere")];
        let environment =
            own.iter().chain(environment).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { longshore, environment }
    }

    /// With a registry in a folder of its own.
    fn with_folder() -> Self {
        let mut session = Self::new("", &[]);
        let registry = session.longshore.home.path().join("registry");
        fs::create_dir(&registry).expect("makes");
        session.environment[0].1 = registry.display().to_string();
        session
    }

    fn home(&self) -> &Path {
        self.longshore.home.path()
    }

    fn run(&self, args: &[&str]) -> Ended {
        let mut command = self.longshore.command(args);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        Ended::of(&command.output().expect("starts"))
    }

    fn publish(&self, version: usize, channel: &[&str]) -> Ended {
        let file = versions()[version].to_str().expect("UTF-8");
        self.run(&[&["publish", file, "--json"], channel].concat())
    }

    /// The versions on which new runs start.
    fn active(&self) -> Vec<String> {
        let listed = self.run(&["packages", "--json"]);
        if listed.code != Some(0) {
            return Vec::new();
        }
        let listed = listed.json();
        let generations = listed["generations"].as_array().expect("generations").iter();
        let active = generations.filter(|generation| generation["state"] == "active");
        active.map(|generation| generation["version"].as_str().expect("a version").to_owned()).collect()
    }

    /// The problem of the followed package, and the version of its release.
    fn followed(&self) -> (String, String) {
        let listed = ok(self.run(&["packages", "followed", "--json"])).json();
        let row = &listed["followed"][0];
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        (text("code"), text("version"))
    }

    fn wait_until(&self, what: &str, holds: impl FnMut() -> bool) {
        self.longshore.wait_until(what, holds);
    }
}

/// The work of a team with a registry of any kind.
fn work_with(session: &Session) {
    let published = ok(session.publish(0, &["--channel", "stable"])).json();
    assert_eq!(published["published"][0]["uploaded"], true);
    assert_eq!(ok(session.publish(0, &[])).json()["published"][0]["uploaded"], false);
    ok(session.publish(1, &[]));
    let listed = ok(session.run(&["search", "--json"])).json();
    let package = &listed["packages"][0];
    assert_eq!((&package["name"], &package["highest"]), (&"rates".into(), &"1.1.0".into()));
    assert_eq!(package["channels"]["stable"], "1.0.0");
    let fetched = ok(session.run(&["fetch", "rates@stable", "-o", "out", "--json"])).json();
    assert_eq!(fetched["version"], "1.0.0");
    let bytes = |path: &Path| fs::read(path).expect("reads");
    assert!(bytes(&session.home().join("out/rates-1.0.0.longshore")) == bytes(&versions()[0]));
    ok(session.run(&["run", "out/rates-1.0.0.longshore"]));
    let again = ok(session.run(&["fetch", "rates@1.0.0", "-o", "out", "--json"])).json();
    assert_eq!(again["downloaded_bytes"], 0);
    ok(session.run(&["yank", "rates@1.1.0", "--reason", "wrong rates"]));
    assert_eq!(ok(session.run(&["fetch", "rates@^1", "--json"])).json()["version"], "1.0.0");
    let refused = session.run(&["promote", "rates@1.1.0", "beta", "--json"]);
    assert_eq!(refused.error_code(), "LS0815", "{}", refused.stdout);
    ok(session.run(&["yank", "rates@1.1.0", "--undo"]));
    ok(session.run(&["promote", "rates@1.1.0", "beta"]));
    let releases = ok(session.run(&["search", "rates", "--releases"])).stdout;
    assert!(releases.contains("beta") && releases.contains("stable"), "{releases}");
    let missing = session.run(&["fetch", "rates@^2", "--json"]);
    assert_eq!(missing.error_code(), "LS0804");
    assert_eq!(session.run(&["fetch", "nobody", "--json"]).error_code(), "LS0803");
    let foreign = session.run(&["fetch", "rates", "--target", "mips-unknown-none", "--json"]);
    assert_eq!(foreign.error_code(), "LS0805");
}

#[test]
fn a_team_works_with_a_folder() {
    work_with(&Session::with_folder());
}

#[test]
fn a_team_works_with_the_database_of_a_home() {
    work_with(&Session::new("database", &[]));
}

#[test]
fn a_team_works_with_a_registry_of_containers() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_server, address)) = container_registry(folder.path()) else { return };
    work_with(&Session::new(&address, &[]));
}

#[test]
fn a_team_works_with_an_object_store() {
    let Some((_server, endpoint)) = object_store() else { return };
    let host = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("connects");
    let request =
        format!("PUT /packages HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    assert!(answer.contains(" 200 "), "{answer}");
    let aws = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "who"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ];
    work_with(&Session::new("s3://packages/team", &aws));
}

#[test]
fn a_server_of_files_with_credentials_of_the_environment_or_of_netrc() {
    let publisher = Session::with_folder();
    ok(publisher.publish(0, &[]));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(FileServer::start(publisher.home().join("registry")));
    let code = |environment: &[(&str, &str)]| {
        let ended = Session::new(&server.address, environment).run(&["search", "--json"]);
        let code = if ended.code == Some(0) { String::new() } else { ended.error_code() };
        assert!(!(ended.stdout + &ended.stderr).contains("secret"));
        code
    };
    server.set(Faults { authorization: Some("Bearer secret"), ..Faults::default() });
    assert_eq!(code(&[]), "LS0807");
    assert_eq!(code(&[("LONGSHORE_REGISTRY_TOKEN_127_0_0_1", "secret")]), "");
    assert_eq!(code(&[("LONGSHORE_REGISTRY_TOKEN_127_0_0_1", "sec\nret")]), "LS0814");
    assert_eq!(
        code(&[("LONGSHORE_REGISTRY_TOKEN_OTHER_HOST", "secret")]),
        "LS0807",
        "it is for another host"
    );
    // ada:secret
    server.set(Faults { authorization: Some("Basic YWRhOnNlY3JldA=="), ..Faults::default() });
    let netrc = publisher.home().join("netrc");
    fs::write(&netrc, "machine 127.0.0.1\nlogin ada\npassword secret\n").expect("writes");
    let netrc = netrc.to_str().expect("UTF-8");
    assert_eq!(code(&[("NETRC", netrc)]), "");
    fs::write(netrc, "login secret").expect("writes");
    assert_eq!(code(&[("NETRC", netrc)]), "LS0814");
}

#[test]
fn a_command_without_a_registry_and_one_with_a_broken_address_say_what_to_write() {
    let session = Session::new("", &[]);
    assert_eq!(session.run(&["search", "--json"]).error_code(), "LS0720");
    for (address, code) in
        [("gopher://x", "LS0801"), ("https://bob:secret@host/x", "LS0801"), ("/nowhere", "LS0806")]
    {
        let refused = session.run(&["search", "--registry", address, "--json"]);
        assert_eq!(refused.error_code(), code, "{}", refused.stdout);
        assert!(!refused.stdout.contains("secret"), "{}", refused.stdout);
    }
    for request in ["rates@Stable", "ra tes", "rates@"] {
        assert_eq!(session.run(&["fetch", request]).code, Some(2), "{request}");
    }
    let refused = session.run(&["promote", "rates@^1", "stable", "--json"]);
    assert_eq!(refused.error_code(), "LS0802", "{}", refused.stdout);
}

#[test]
fn a_bundle_goes_to_a_machine_without_a_network() {
    let session = Session::with_folder();
    ok(session.publish(0, &["--channel", "stable"]));
    ok(session.publish(1, &[]));
    let registry = session.environment[0].1.clone();
    ok(session.run(&["mirror", &registry, "all.bundle"]));
    ok(session.run(&["mirror", &registry, "one.bundle", "rates@stable"]));
    let one =
        ok(session.run(&["search", "rates", "--releases", "--registry", "one.bundle", "--json"])).json();
    assert_eq!(one["releases"].as_array().map(Vec::len), Some(1));
    let away = Session::new("", &[]);
    fs::create_dir(away.home().join("inside")).expect("makes");
    let bundle = session.home().join("all.bundle");
    ok(away.run(&["mirror", bundle.to_str().expect("UTF-8"), "inside"]));
    let fetched = away.run(&["fetch", "rates@stable", "--registry", "inside", "--json"]);
    assert_eq!(ok(fetched).json()["version"], "1.0.0");
    let readonly = away.run(&[
        "yank",
        "rates@1.0.0",
        "--reason",
        "x",
        "--registry",
        bundle.to_str().expect("UTF-8"),
        "--json",
    ]);
    assert_eq!(readonly.error_code(), "LS0811");
}

#[test]
fn a_host_follows_a_channel_and_takes_only_what_is_signed() {
    let session = Session::with_folder();
    let key = |name: &str| {
        let made = ok(session.run(&["keygen", name, "--identity", &format!("{name}@example.org"), "--json"]));
        made.json()["allowed_signer"].as_str().expect("a line").to_owned() + "\n"
    };
    let (ada, eve) = (key("ada"), key("eve"));
    let write = |name: &str, text: &str| fs::write(session.home().join(name), text).expect("writes");
    write("allowed", &ada);
    write("revoked", "");
    write(
        "trust.toml",
        "policy = \"require\"\nallowed_signers = \"allowed\"\nrevoked_keys = [\"revoked\"]\ndowngrade = \"refuse\"\n",
    );
    let release = |version: usize, key: &str| {
        let file = session.home().join(versions()[version].file_name().expect("a name"));
        fs::copy(&versions()[version], &file).expect("copies");
        let file = file.to_str().expect("UTF-8");
        ok(session.run(&["sign", file, "--key", key, "--detached"]));
        ok(session.run(&["publish", file, "--channel", "stable"]));
    };
    release(0, "ada");
    let host = session.longshore.spawn(SERVE, &[]);
    ok(session.run(&["packages", "follow", "rates@stable"]));
    session.wait_until("the channel's release is loaded", || session.active() == ["1.0.0"]);
    ok(session.run(&["runs", "start", "rates", "--wait"]));
    release(1, "ada");
    session.wait_until("the channel moved", || session.active() == ["1.1.0"]);
    let shown = ok(session.run(&["packages", "show", "rates"])).stdout;
    assert!(
        shown.contains("signed by ada@example.org") && shown.contains("registry: followed in"),
        "{shown}"
    );

    // A channel that goes back: what runs stays recorded, for the next start as well.
    ok(session.run(&["promote", "rates@1.0.0", "stable"]));
    session.wait_until("it is refused", || session.followed() == ("LS0212".into(), "1.1.0".into()));
    ok(session.run(&["promote", "rates@1.1.0", "stable"]));
    session.wait_until("all is well", || session.followed() == (String::new(), "1.1.0".into()));

    // Somebody whom nobody allowed.
    release(2, "eve");
    session.wait_until("a stranger's release is refused", || {
        session.followed() == ("LS0211".into(), "1.1.0".into())
    });
    assert_eq!(session.active(), ["1.1.0"], "what runs goes on");
    write("allowed", &(ada + &eve));
    session.wait_until("eve may now", || session.active() == ["1.2.0"]);

    // What is yanked stays where it runs; what is revoked does not.
    ok(session.run(&["yank", "rates@1.2.0", "--reason", "wrong rates"]));
    session.wait_until("a yank is told", || session.followed() == ("LS0804".into(), "1.2.0".into()));
    assert_eq!(session.active(), ["1.2.0"]);
    ok(session.run(&["packages", "follow", "rates@^1"]));
    session.wait_until("a range is told as well", || session.followed() == ("LS0816".into(), "1.2.0".into()));
    write("revoked", eve.split("\" ").nth(1).expect("a key"));
    session.wait_until("a revoked release is closed", || session.active().is_empty());
    ok(session.run(&["packages", "pin", "rates", "--to", "1.1.0"]));
    session.wait_until("an operator goes back", || session.active() == ["1.1.0"]);
    assert_eq!(host.stop(), Some(0));
}

/// A server of one release, and a session of a host that follows it.
fn served(version: usize) -> (tokio::runtime::Runtime, FileServer, Session, Session) {
    let publisher = Session::with_folder();
    ok(publisher.publish(version, &[]));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(FileServer::start(publisher.home().join("registry")));
    let session = Session::new(&server.address, &[]);
    (runtime, server, publisher, session)
}

#[test]
fn a_host_that_dies_while_it_downloads_goes_on_where_it_was() {
    let (_runtime, server, _publisher, session) = served(0);
    server.set(Faults { stalls_after: Some(500_000), ..Faults::default() });
    let host = session.longshore.spawn(SERVE, &[("NETRC", "/nowhere")]);
    ok(session.run(&["packages", "follow", "rates"]));
    let downloads = session.home().join("downloads");
    let arrived = || {
        let entries = fs::read_dir(&downloads).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum::<u64>()
    };
    session.wait_until("a part arrived", || arrived() >= 500_000);
    host.kill_9();
    assert_eq!(server.take_ranges(), [None]);
    server.set(Faults::default());
    let host = session.longshore.spawn(SERVE, &[("NETRC", "/nowhere")]);
    session.wait_until("the rest arrived", || session.active() == ["1.0.0"]);
    let ranges = server.take_ranges();
    assert!(ranges.iter().flatten().all(|range| range != "bytes=0-") && ranges[0].is_some(), "{ranges:?}");
    // The registry is gone: nobody misses it.
    server.set(Faults { status: Some(503), ..Faults::default() });
    session.wait_until("it is told", || session.followed().0 == "LS0806");
    host.kill_9();
    let host = session.longshore.spawn(SERVE, &[("NETRC", "/nowhere")]);
    session.wait_until("what is pinned is loaded", || session.longshore.log().contains("loaded"));
    assert_eq!(session.active(), ["1.0.0"]);
    // It has the digest: nothing is downloaded again.
    server.set(Faults::default());
    server.take_ranges();
    ok(session.run(&["packages", "unfollow", "rates"]));
    session.wait_until("it goes", || session.active().is_empty());
    ok(session.run(&["packages", "follow", "rates"]));
    session.wait_until("it is back", || session.active() == ["1.0.0"]);
    assert_eq!(server.take_ranges(), [] as [Option<String>; 0]);
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_host_that_dies_between_any_two_steps_of_a_fetch_finds_its_way() {
    for point in ["reconciler.fetched", "reconciler.fetched_in"] {
        let (_runtime, _server, _publisher, session) = served(1);
        let sleeps = format!("{point}=sleep(600000)");
        let host = session.longshore.spawn(SERVE, &[("FAILPOINTS", &sleeps), ("NETRC", "/nowhere")]);
        ok(session.run(&["packages", "follow", "rates"]));
        session.wait_until(point, || host.sleeps_at_its_failpoint());
        host.kill_9();
        let host = session.longshore.spawn(SERVE, &[("NETRC", "/nowhere")]);
        session.wait_until("it is loaded", || session.active() == ["1.1.0"]);
        assert_eq!(host.stop(), Some(0), "{point}");
    }
}

#[test]
fn a_registry_that_lies_takes_nothing_away() {
    let (_runtime, server, publisher, session) = served(0);
    let host = session.longshore.spawn(SERVE, &[("NETRC", "/nowhere")]);
    ok(session.run(&["packages", "follow", "rates"]));
    session.wait_until("it is loaded", || session.active() == ["1.0.0"]);
    let index = fs::read_to_string(publisher.home().join("registry/index/rates.json")).expect("reads");
    let lie = |from: &str, to: String, code: &str| {
        assert!(index.contains(from));
        server.set(Faults { index: Some(index.replace(from, &to).into_bytes()), ..Faults::default() });
        session.wait_until(code, || session.followed().0 == code);
        assert_eq!(session.active(), ["1.0.0"], "what runs goes on");
    };
    let digest = ok(session.run(&["packages", "followed", "--json"])).json()["followed"][0]["digest"].clone();
    let digest = digest.as_str().expect("a digest").to_owned();
    lie(&digest, digest.chars().rev().collect(), "LS0810");
    lie("\"1.0.0\"", "\"1.9.0\"".into(), "LS0809");
    lie("{", "<".into(), "LS0808");
    server.set(Faults::default());
    session.wait_until("all is well again", || session.followed().0.is_empty());
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_registry_that_lists_less_than_before_takes_nothing_away() {
    let session = Session::with_folder();
    ok(session.publish(0, &[]));
    let index = session.home().join("registry/index/rates.json");
    let before = fs::read(&index).expect("reads");
    ok(session.publish(1, &[]));
    let host = session.longshore.spawn(SERVE, &[]);
    ok(session.run(&["packages", "follow", "rates@^1"]));
    session.wait_until("it is loaded", || session.active() == ["1.1.0"]);
    fs::write(&index, before).expect("writes");
    session.wait_until("it is told", || session.followed() == ("LS0816".into(), "1.1.0".into()));
    let checked = session.run(&["packages", "check", "--json"]).json();
    assert_eq!(checked["readiness"]["warnings"][0]["code"], "LS0816");
    assert_eq!(session.active(), ["1.1.0"]);
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_copy_that_was_damaged_while_the_host_was_down_is_fetched_again() {
    let session = Session::with_folder();
    ok(session.publish(0, &[]));
    let host = session.longshore.spawn(SERVE, &[]);
    ok(session.run(&["packages", "follow", "rates"]));
    session.wait_until("it is loaded", || session.active() == ["1.0.0"]);
    host.kill_9();
    let libraries =
        |folder: PathBuf| fs::read_dir(folder).expect("lists").flatten().map(|entry| entry.path());
    let digest = libraries(session.home().join("cache")).next().expect("a digest");
    let library = libraries(digest).find(|path| path.extension().is_some_and(|it| it == "so"));
    fs::write(library.expect("a library"), "").expect("writes");
    let host = session.longshore.spawn(SERVE, &[]);
    session.wait_until("it is loaded again", || session.longshore.log().contains("loaded"));
    session.wait_until("and counts", || session.active() == ["1.0.0"]);
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_host_follows_a_bundle_that_is_replaced() {
    let session = Session::with_folder();
    ok(session.publish(0, &[]));
    let registry = session.environment[0].1.clone();
    ok(session.run(&["mirror", &registry, "all.bundle"]));
    let host = session.longshore.spawn(SERVE, &[]);
    ok(session.run(&["packages", "follow", "rates", "--registry", "all.bundle"]));
    session.wait_until("it is loaded", || session.active() == ["1.0.0"]);
    ok(session.publish(1, &[]));
    ok(session.run(&["mirror", &registry, "all.bundle"]));
    session.wait_until("the new bundle counts", || session.active() == ["1.1.0"]);
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_registry_that_hangs_keeps_no_other_waiting() {
    let session = Session::with_folder();
    ok(session.publish(0, &[]));
    let index = fs::read_to_string(session.home().join("registry/index/rates.json")).expect("reads");
    let hanging = session.home().join("hanging");
    fs::create_dir_all(hanging.join("index")).expect("makes");
    for n in 0..6 {
        let name = format!("p{n}");
        let file = hanging.join(format!("index/{name}.json"));
        fs::write(&file, index.replace("\"rates\"", &format!("\"{name}\""))).expect("writes");
        ok(session.run(&["packages", "follow", &name, "--registry", "hanging"]));
        fs::remove_file(&file).expect("removes");
        // Nobody ever writes to it.
        let made = std::process::Command::new("mkfifo").arg(&file).status();
        assert!(made.is_ok_and(|status| status.success()));
    }
    let host = session.longshore.spawn(SERVE, &[]);
    ok(session.run(&["packages", "follow", "rates"]));
    session.wait_until("it is loaded", || session.active() == ["1.0.0"]);
    // A package of the registry that hangs is followed in another one from now on.
    fs::write(session.home().join("registry/index/p0.json"), index.replace("\"rates\"", "\"p0\""))
        .expect("writes");
    ok(session.run(&["packages", "follow", "p0", "--registry", "registry"]));
    let asked = || {
        let rows = ok(session.run(&["packages", "followed", "--json"])).json()["followed"].clone();
        rows.as_array()
            .is_some_and(|rows| rows.iter().any(|row| row["name"] == "p0" && !row["code"].is_null()))
    };
    session.wait_until("the other one is asked", asked);
    assert_eq!(host.stop(), Some(0));
}
