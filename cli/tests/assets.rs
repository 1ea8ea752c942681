//! Files that travel with a package.

mod support;

use support::{Crate, Longshore, build_into, one_task};

/// A crate whose task stores an asset in its context. Crates of one name are built one after the other.
fn reads_asset(krate: &str, name: &str) -> Crate {
    let body = format!(
        "let bytes = longshore::asset!(\"{name}\")?;\n        \
         context.insert_as(\"says\", String::from_utf8_lossy(&bytes).into_owned())"
    );
    let krate = Crate::of_source(krate, &one_task("carries", &body));
    write(&krate, "greetings/hello.txt", "hello from a file");
    write(&krate, ".hidden", "an editor's");
    krate
}

fn write(krate: &Crate, name: &str, text: &str) {
    let path = krate.folder.path().join("assets").join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
    std::fs::write(path, text).expect("writes");
}

#[test]
fn an_asset_is_read_through_the_host_in_process_and_isolated() {
    let out = tempfile::tempdir().expect("a folder");
    let file = build_into(&reads_asset("carries", "greetings/hello.txt"), out.path());
    let file = file.to_str().expect("UTF-8");
    let longshore = Longshore::new();
    let shown = longshore.run(&["inspect", file, "--json"]).json();
    assert_eq!(shown["assets"], serde_json::json!(["assets/greetings/hello.txt"]));
    for isolation in [&[][..], &["--isolate", "all"]] {
        let longshore = Longshore::new();
        let ended = longshore.run(&[&["run", file, "--json"], isolation].concat());
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.json()["context"]["says"], "hello from a file");
    }
}

#[test]
fn an_asset_that_is_not_there_fails_its_task_by_name() {
    let out = tempfile::tempdir().expect("a folder");
    for name in ["greetings/bye.txt", "../package.toml", "/etc/passwd", ""] {
        let file = build_into(&reads_asset("carries-nothing", name), out.path());
        let ended = Longshore::new().run(&["run", file.to_str().expect("UTF-8"), "--json"]);
        assert_eq!(ended.code, Some(3), "{name}: {}{}", ended.stdout, ended.stderr);
        let expected = format!("asset `{name}`: the package has no such file");
        assert!(ended.stdout.contains(&expected), "{}", ended.stdout);
    }
}

#[test]
#[cfg(unix)]
fn what_cannot_travel_is_refused_when_it_is_packed() {
    let krate = reads_asset("carries-links", "greetings/hello.txt");
    let link = krate.folder.path().join("assets/link");
    std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
    let code = || Longshore::new().run(&["build", krate.path(), "--json"]).error_code();
    assert_eq!(code(), "LS0717");
    std::fs::remove_file(&link).expect("removes");
    write(&krate, "drive:name", "x");
    assert_eq!(code(), "LS0717");
}

#[test]
fn packages_with_other_assets_are_not_builds_of_one_package() {
    let out = tempfile::tempdir().expect("a folder");
    let krate = reads_asset("carries-more", "greetings/hello.txt");
    let one = build_into(&krate, &out.path().join("one"));
    write(&krate, "more.txt", "more");
    let two = build_into(&krate, &out.path().join("two"));
    let longshore = Longshore::new();
    let (one, two) = (one.to_str().expect("UTF-8"), two.to_str().expect("UTF-8"));
    let refused = longshore.run(&["pack", one, two, "--json"]);
    assert_eq!(refused.error_code(), "LS0115", "{}", refused.stdout);
    assert!(refused.stdout.contains("they differ in the assets"), "{}", refused.stdout);
    let packed = longshore.run(&["pack", two, "-o", "joined", "--json"]).json();
    let joined = longshore.home.path().join(packed["file"].as_str().expect("a file"));
    assert_eq!(std::fs::read(joined).expect("reads"), std::fs::read(two).expect("reads"), "the same bytes");
}
