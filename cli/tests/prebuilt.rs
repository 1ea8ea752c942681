//! Builds that somebody made before, and the settings that name them.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use support::{Crate, Ended, Longshore, one_task};

fn ok(ended: Ended) -> Ended {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    ended
}

/// A crate whose settings name a registry in a folder, and a key that may sign.
struct Setup {
    longshore: Longshore,
    krate: Crate,
}

impl Setup {
    fn new(name: &str) -> Self {
        let (longshore, krate) = (Longshore::new(), Crate::of_source(name, &one_task(name, "Ok(())")));
        let setup = Self { longshore, krate };
        let made = ok(setup.run(&["keygen", "ci", "--identity", "ci@example.org", "--json"]));
        setup.write("allowed_signers", made.json()["allowed_signer"].as_str().expect("a line"));
        fs::create_dir(setup.builds()).expect("makes");
        let url = setup.builds().display().to_string();
        setup.write("longshore.toml", &format!("[prebuilt]\nurl = \"{url}\"\nkeys = \"allowed_signers\"\n"));
        setup
    }

    fn builds(&self) -> PathBuf {
        self.longshore.home.path().join("builds")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.krate.folder.path().join(name), text).expect("writes");
    }

    fn run(&self, args: &[&str]) -> Ended {
        let mut command = self.longshore.command(args);
        command.env("XDG_CACHE_HOME", self.longshore.home.path().join("xdg"));
        Ended::of(&command.output().expect("starts"))
    }

    fn build(&self, more: &[&str]) -> Ended {
        ok(self.run(&[&["build", self.krate.path(), "-o", "out", "--json"], more].concat()))
    }

    fn content_hash(&self, more: &[&str]) -> String {
        let printed = ok(self.run(&[&["build", self.krate.path(), "--content-hash"], more].concat()));
        printed.stdout.trim().to_owned()
    }

    fn precompile(&self) -> Ended {
        ok(self.run(&["precompile", self.krate.path(), "--key", "ci", "--json"]))
    }
}

#[test]
fn what_was_built_before_is_taken_and_everything_else_is_built_with_a_reason() {
    let setup = Setup::new("tides");
    let built = setup.build(&[]);
    assert!(built.stderr.contains("has no build of tides"), "{}", built.stderr);
    let published = setup.precompile().json()["prebuilt"][0].clone();
    assert_eq!(published["content_hash"], setup.content_hash(&[]).as_str());
    let taken = setup.build(&[]);
    assert!(taken.stderr.contains("is taken from"), "{}", taken.stderr);
    assert_eq!(taken.json()["digest"], published["digest"]);
    // It runs, and says who built it.
    ok(setup.run(&["run", "out/tides-0.1.0.longshore"]));
    let allowed = setup.krate.folder.path().join("allowed_signers");
    let allowed = allowed.to_str().expect("UTF-8");
    ok(setup.run(&["verify", "out/tides-0.1.0.longshore", "--allowed", allowed, "--role", "builder"]));
    let asked_not_to = setup.build(&["--no-prebuilt"]);
    assert!(!asked_not_to.stderr.contains("prebuilt:"), "{}", asked_not_to.stderr);

    // Whatever decides a build decides the hash.
    let content = setup.content_hash(&[]);
    assert_ne!(setup.content_hash(&["--release"]), content);
    let settings = fs::read_to_string(setup.krate.folder.path().join("longshore.toml")).expect("reads");
    setup.write("longshore.toml", &format!("{settings}\n[profile.dev]\nflags = [\"--locked\"]\n"));
    assert_ne!(setup.content_hash(&[]), content);
    setup.write("longshore.toml", &settings);
    assert_eq!(setup.content_hash(&[]), content);
    setup.write("src/more.rs", "// nothing");
    assert!(setup.build(&[]).stderr.contains("has no build of tides"));
    fs::remove_file(setup.krate.folder.path().join("src/more.rs")).expect("removes");

    // A registry that is gone, and a copy that is not whole: it is built.
    fs::rename(setup.builds(), setup.builds().with_extension("away")).expect("renames");
    let gone = setup.build(&[]);
    assert!(gone.stderr.contains("built here: LS0806"), "{}", gone.stderr);
    fs::write(setup.longshore.home.path().join("longshore-options.toml"), "use_prebuilt = false")
        .expect("writes");
    assert!(!setup.build(&[]).stderr.contains("prebuilt:"));
}

#[test]
fn a_build_that_nobody_who_may_signed_or_of_other_sources_is_not_taken() {
    let setup = Setup::new("ebbs");
    setup.precompile();
    let release = only_file(&setup.builds().join("prebuilt/ebbs"));
    // A registry that hands out an older build for newer sources.
    setup.write("src/more.rs", "// newer");
    let newer = release.with_file_name(format!("{}.json", setup.content_hash(&[])));
    fs::copy(&release, &newer).expect("copies");
    let refused = setup.build(&[]);
    assert!(refused.stderr.contains("LS0722: it was not built from"), "{}", refused.stderr);
    fs::remove_file(setup.krate.folder.path().join("src/more.rs")).expect("removes");
    // Another key.
    let other = ok(setup.run(&["keygen", "other", "--json"])).json();
    setup.write("allowed_signers", other["allowed_signer"].as_str().expect("a line"));
    let moved = release.with_file_name(format!("{}.json", setup.content_hash(&[])));
    fs::rename(&release, &moved).expect("renames");
    let refused = setup.build(&[]);
    assert!(refused.stderr.contains("LS0722: it is signed by nobody of"), "{}", refused.stderr);
    // An entry that does not read.
    fs::write(&moved, "{}").expect("writes");
    let refused = setup.build(&[]);
    assert!(refused.stderr.contains("built here: LS0808"), "{}", refused.stderr);
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder).expect("lists").flatten().map(|entry| entry.path());
    files.next().expect("a file")
}

#[test]
fn settings_that_do_not_read_are_refused_with_where() {
    let setup = Setup::new("shoals");
    let code = |args: &[&str]| {
        let refused = setup.run(&[args, &["--json"]].concat());
        assert_eq!(refused.code, Some(1), "{}", refused.stdout);
        (refused.error_code(), refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    let path = setup.krate.path();
    setup.write("longshore.toml", "toolchian = \"1.95\"\n");
    let (found, message) = code(&["build", path]);
    assert!(found == "LS0721" && message.contains("line 1"), "{message}");
    setup.write("longshore.toml", "");
    assert_eq!(code(&["precompile", path, "--key", "ci"]).0, "LS0721");
    setup.write("longshore.toml", "toolchain = \"no-such-toolchain\"\n");
    let (found, _) = code(&["build", path]);
    assert!(["LS0703", "LS0719"].contains(&found.as_str()), "{found}");
    setup.write("longshore.toml", "[profile.dev]\nflags = [\"--no-such-flag\"]\n");
    assert_eq!(code(&["build", path]).0, "LS0703");
}
