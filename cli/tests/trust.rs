//! Signatures and trust: the same verdict here and by `ssh-keygen`, and hosts that take nothing else.

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Crate, Ended, Longshore, Running, build_into, hello, one_task};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A copy of `hello` in a home of its own.
fn signable(longshore: &Longshore) -> PathBuf {
    let file = longshore.home.path().join("hello.longshore");
    fs::copy(hello(), &file).expect("copies");
    file
}

/// Makes a key, and returns the line by which it is allowed to sign.
fn keygen(longshore: &Longshore, name: &str, more: &[&str]) -> String {
    let identity = format!("{name}@example.org");
    let made = longshore.run(&[&["keygen", name, "--identity", &identity, "--json"], more].concat());
    assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);
    made.json()["allowed_signer"].as_str().expect("a line").to_owned() + "\n"
}

fn write(longshore: &Longshore, name: &str, content: &str) {
    fs::write(longshore.home.path().join(name), content).expect("writes");
}

fn ok(ended: Ended) -> Ended {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    ended
}

/// Asks `ssh-keygen` about a signature of a digest.
fn openssh_agrees(
    longshore: &Longshore,
    digest: &str,
    signature: &Path,
    signer: &str,
    namespace: &str,
) -> bool {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-f", "allowed", "-I", signer, "-n", namespace, "-s", text(signature)])
        .current_dir(longshore.home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("ssh-keygen is installed");
    child.stdin.take().expect("stdin").write_all(digest.as_bytes()).expect("writes");
    child.wait().expect("ends").success()
}

#[test]
fn a_signature_inside_and_one_beside_are_what_ssh_keygen_takes() {
    let longshore = Longshore::new();
    let file = signable(&longshore);
    let author = keygen(&longshore, "alice", &[]);
    let builder = keygen(&longshore, "ci", &["--type", "ecdsa"]);
    write(&longshore, "allowed", &(author + &builder));
    let digest = ok(longshore.run(&["inspect", text(&file), "--digest"])).stdout;
    ok(longshore.run(&["sign", text(&file), "--key", "alice"]));
    ok(longshore.run(&["sign", text(&file), "--key", "ci", "--role", "builder", "--detached"]));
    assert_eq!(
        ok(longshore.run(&["inspect", text(&file), "--digest"])).stdout,
        digest,
        "it is the same package"
    );
    let roles = ["--role", "author", "--role", "builder"];
    let verified =
        longshore.run(&[&["verify", text(&file), "--allowed", "allowed", "--json"][..], &roles].concat());
    assert_eq!(ok(verified).json()["signatures"].as_array().map(Vec::len), Some(2));

    let beside = longshore.home.path().join("hello.longshore.sig");
    assert!(openssh_agrees(&longshore, &digest, &beside, "ci@example.org", "longshore-builder"));
    assert!(!openssh_agrees(&longshore, &digest, &beside, "ci@example.org", "longshore"), "another role");
    let inside = longshore.home.path().join("inside.sig");
    let unpacked =
        Command::new("unzip").args(["-p", text(&file), "signatures/author-*"]).output().expect("unzip");
    fs::write(&inside, unpacked.stdout).expect("writes");
    assert!(openssh_agrees(&longshore, &digest, &inside, "alice@example.org", "longshore"));
    assert!(!openssh_agrees(
        &longshore,
        &digest.replacen(['0', '1'], "2", 1),
        &inside,
        "alice@example.org",
        "longshore"
    ));
}

#[test]
fn keys_of_ssh_keygen_with_a_passphrase_and_of_an_agent_sign() {
    let longshore = Longshore::new();
    let file = signable(&longshore);
    let here = longshore.home.path();
    let run = |program: &str, args: &[&str]| {
        let ended = Command::new(program).args(args).current_dir(here).output().expect("starts");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "open sesame", "-C", "bob", "-f", "locked"]);
    run("ssh-keygen", &["-q", "-t", "ecdsa", "-N", "", "-C", "eve", "-f", "plain"]);
    let public = |name: &str| fs::read_to_string(here.join(format!("{name}.pub"))).expect("reads");
    write(&longshore, "allowed", &format!("bob {}eve {}", public("locked"), public("plain")));

    let no_terminal = longshore.run(&["sign", text(&file), "--key", "locked", "--json"]);
    assert_eq!(no_terminal.error_code(), "LS0718", "{}", no_terminal.stdout);
    let with = |passphrase: &str, args: &[&str]| {
        let command = longshore.command(args).env("LONGSHORE_KEY_PASSPHRASE", passphrase).output();
        Ended::of(&command.expect("starts"))
    };
    let wrong = with("guess", &["sign", text(&file), "--key", "locked", "--json"]);
    assert!(wrong.error_code() == "LS0718" && !wrong.stdout.contains("guess"), "{}", wrong.stdout);
    ok(with("open sesame", &["sign", text(&file), "--key", "locked"]));
    ok(longshore.run(&["verify", text(&file), "--allowed", "allowed", "--signer", "bob"]));

    // The private half goes into an agent, and leaves the disk.
    let agent = here.join("agent");
    let child = Command::new("ssh-agent").args(["-D", "-a", text(&agent)]).stdout(Stdio::null()).spawn();
    let child = Running(child.expect("ssh-agent is installed"));
    longshore.wait_until("the agent listens", || agent.exists());
    let added = Command::new("ssh-add").arg(here.join("plain")).env("SSH_AUTH_SOCK", &agent).output();
    assert!(added.expect("ssh-add").status.success());
    fs::remove_file(here.join("plain")).expect("removes");
    let signed =
        longshore.command(&["sign", text(&file), "--key", "plain.pub"]).env("SSH_AUTH_SOCK", &agent).output();
    ok(Ended::of(&signed.expect("starts")));
    ok(longshore.run(&["verify", text(&file), "--allowed", "allowed", "--signer", "eve"]));
    drop(child);
    let gone = longshore
        .command(&["sign", text(&file), "--key", "plain.pub", "--json"])
        .env("SSH_AUTH_SOCK", &agent)
        .output();
    assert_eq!(Ended::of(&gone.expect("starts")).error_code(), "LS0718");
}

#[test]
fn keys_that_others_may_read_or_that_are_none_are_refused_and_none_is_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let longshore = Longshore::new();
    let file = signable(&longshore);
    keygen(&longshore, "alice", &[]);
    let code = |key: &str| longshore.run(&["sign", text(&file), "--key", key, "--json"]);
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(longshore.home.path().join("alice"), open).expect("sets");
    let refused = code("alice");
    assert!(refused.error_code() == "LS0718" && refused.stdout.contains("chmod 600"), "{}", refused.stdout);
    write(&longshore, "none.pub", "hello");
    assert_eq!(code("none.pub").error_code(), "LS0718");
    assert_eq!(code("nowhere").error_code(), "LS0101");
    assert_eq!(longshore.run(&["keygen", "alice", "--json"]).error_code(), "LS0707");
    for identity in ["two words", "*", "!x", "#x", ""] {
        let refused = longshore.run(&["keygen", "bob", "--identity", identity, "--json"]);
        assert_eq!(refused.error_code(), "LS0718", "{identity}");
    }
    write(&longshore, "half.pub", "");
    assert_eq!(longshore.run(&["keygen", "half", "--json"]).error_code(), "LS0707");
    assert!(!longshore.home.path().join("half").exists(), "half a key is none");
    let private = fs::read_to_string(longshore.home.path().join("alice")).expect("reads");
    let secret = private.lines().nth(2).expect("a line of the key");
    write(&longshore, "broken", &private.replacen(&secret[..8], "AAAAAAAA", 1));
    fs::set_permissions(longshore.home.path().join("broken"), fs::Permissions::from_mode(0o600))
        .expect("sets");
    let broken = code("broken");
    assert!(broken.code == Some(1) && !broken.stdout.contains(&secret[10..]), "{}", broken.stdout);
}

#[test]
fn what_is_not_signed_by_somebody_who_may_is_not_verified_and_says_why() {
    let longshore = Longshore::new();
    let file = signable(&longshore);
    let alice = keygen(&longshore, "alice", &[]);
    let stranger = keygen(&longshore, "stranger", &[]);
    write(&longshore, "allowed", &alice);
    let verify = |more: &[&str]| {
        let ended =
            longshore.run(&[&["verify", text(&file), "--allowed", "allowed", "--json"], more].concat());
        let message = ended.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        (ended.code, message)
    };
    assert_eq!(
        verify(&[]),
        (Some(1), "the package is not trusted: it is not signed by somebody who may sign".to_owned())
    );
    ok(longshore.run(&["sign", text(&file), "--key", "stranger"]));
    assert!(verify(&[]).1.contains("its key is not among the allowed signers"));
    ok(longshore.run(&["sign", text(&file), "--key", "alice"]));
    assert_eq!(verify(&[]).0, Some(0));
    assert!(verify(&["--role", "builder"]).1.contains("as its builder"));
    assert!(verify(&["--signer", "bob@example.org"]).1.contains("not signed by bob@example.org"));
    write(&longshore, "revoked", stranger.split("\" ").nth(1).expect("a key"));
    assert_eq!(verify(&["--revoked", "revoked"]).0, Some(0), "another's key");
    write(&longshore, "revoked", alice.split("\" ").nth(1).expect("a key"));
    assert!(verify(&["--revoked", "revoked"]).1.contains("its key was revoked"));
    write(&longshore, "allowed", &alice.replace("namespaces=", "valid-before=\"20200101Z\",namespaces="));
    assert!(verify(&[]).1.contains("its key was valid until 2020-01-01T00:00:00Z"));
    write(&longshore, "allowed", "alice@example.org\n");
    assert!(verify(&[]).1.contains("allowed, line 1: it has principals and no key"));

    // Signing keeps the mode of a file, and follows links to it.
    use std::os::unix::fs::PermissionsExt;
    write(&longshore, "allowed", &alice);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("sets");
    let link = longshore.home.path().join("link.longshore");
    std::os::unix::fs::symlink(&file, &link).expect("links");
    ok(longshore.run(&["sign", text(&link), "--key", "stranger", "--role", "builder"]));
    assert!(
        link.is_symlink() && fs::metadata(&file).expect("is there").permissions().mode() & 0o777 == 0o640
    );
    assert_eq!(verify(&[]).0, Some(0));

    // A package that is not whole is refused before anybody asks who signed it.
    write(&longshore, "allowed", &alice);
    let bytes = fs::read(&file).expect("reads");
    fs::write(&file, &bytes[..bytes.len() / 2]).expect("writes");
    assert_eq!(verify(&[]).0, Some(1));
    write(&longshore, "hello.longshore.sig", "hello");
    fs::write(&file, bytes).expect("writes");
    let broken = longshore.run(&["verify", text(&file), "--allowed", "allowed", "--json"]);
    assert_eq!(broken.error_code(), "LS0117");
}

/// The reason of a problem with a package or a file on a host, and its message.
fn problems(longshore: &Longshore) -> String {
    let checked = longshore.run(&["packages", "check", "--json"]);
    checked.stdout + &checked.stderr
}

fn active(longshore: &Longshore) -> Vec<String> {
    let listed = longshore.run(&["packages", "--json"]);
    if listed.code != Some(0) {
        return Vec::new();
    }
    let listed = listed.json();
    let generations = listed["generations"].as_array().expect("generations").iter();
    let active = generations.filter(|generation| generation["state"] == "active");
    active.map(|g| format!("{} {}", g["package"], g["version"]).replace('"', "")).collect()
}

/// A package of a version, in a folder.
fn version(number: &str, folder: &Path) -> PathBuf {
    let krate = Crate::of_source("billing", &one_task("billing", "context.insert_as(\"paid\", true)"));
    let manifest = krate.folder.path().join("Cargo.toml");
    let content = fs::read_to_string(&manifest).expect("reads");
    fs::write(&manifest, content.replacen("0.1.0", number, 1)).expect("writes");
    build_into(&krate, folder)
}

#[test]
fn a_host_loads_what_is_signed_drops_what_is_revoked_and_goes_back_only_when_told() {
    let longshore = Longshore::new();
    let here = longshore.home.path();
    let (old, new) = (version("1.0.0", here), version("2.0.0", here));
    let alice = keygen(&longshore, "alice", &[]);
    write(&longshore, "allowed", &alice);
    write(&longshore, "revoked", "");
    write(
        &longshore,
        "trust.toml",
        "policy = \"require\"\nallowed_signers = \"allowed\"\nrevoked_keys = [\"revoked\"]\nroles = [\"author\"]\n",
    );
    let drop = here.join("drop");
    fs::create_dir(&drop).expect("a folder");
    let dropped = drop.join("billing.longshore");
    let host = longshore.spawn(&["serve", "drop"], &[]);
    let put = |file: &Path| {
        fs::copy(file, here.join("next")).expect("copies");
        fs::rename(here.join("next"), &dropped).expect("renames");
    };
    put(&new);
    longshore.wait_until("an unsigned package is refused", || problems(&longshore).contains("LS0211"));
    assert_eq!(active(&longshore), Vec::<String>::new());
    // Signed where it lies: the host notices.
    ok(longshore.run(&["sign", text(&dropped), "--key", "alice"]));
    longshore.wait_until("a signed package is loaded", || active(&longshore) == ["billing 2.0.0"]);
    ok(longshore.run(&["runs", "start", "billing", "--wait"]));
    let shown = longshore.run(&["packages", "show", "billing"]).stdout;
    assert!(shown.contains("signatures signed by alice@example.org as its author"), "{shown}");

    // An old version that is signed as well.
    ok(longshore.run(&["sign", text(&old), "--key", "alice"]));
    put(&old);
    longshore.wait_until("a lower version is refused", || problems(&longshore).contains("LS0212"));
    assert_eq!(active(&longshore), ["billing 2.0.0"], "what runs goes on");
    ok(longshore.run(&["packages", "add", text(&old)]));
    longshore.wait_until("an operator may go back", || active(&longshore) == ["billing 1.0.0"]);

    // Its key is revoked: it goes, and says why.
    write(&longshore, "revoked", alice.split("\" ").nth(1).expect("a key"));
    longshore.wait_until("a revoked package is closed", || active(&longshore).is_empty());
    longshore.wait_until("and says why", || problems(&longshore).contains("its key was revoked"));
    let refused = longshore.run(&["packages", "add", text(&old), "--json"]);
    assert_eq!(refused.error_code(), "LS0211", "{}", refused.stdout);
    // A policy that does not read trusts nobody, and takes nothing away.
    write(&longshore, "revoked", "");
    longshore.wait_until("a key that is good again", || active(&longshore) == ["billing 1.0.0"]);
    write(&longshore, "allowed", "nonsense\n");
    let refused = longshore.run(&["packages", "add", text(&old), "--json"]);
    assert_eq!(refused.error_code(), "LS0119", "{}", refused.stdout);
    longshore.wait_until("the log says so", || longshore.log().contains("trust policy cannot be used"));
    longshore.wait_until("a condition says so", || problems(&longshore).contains("LS0119"));
    assert_eq!(active(&longshore), ["billing 1.0.0"]);
    write(&longshore, "allowed", &alice);
    longshore.wait_until("the condition goes", || !problems(&longshore).contains("LS0119"));
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn what_lies_about_takes_no_signature_away_and_stops_no_host() {
    let longshore = Longshore::new();
    let here = longshore.home.path();
    let alice = keygen(&longshore, "alice", &[]);
    write(&longshore, "allowed", &alice);
    write(&longshore, "trust.toml", "policy = \"require\"\nallowed_signers = \"allowed\"\n");
    let file = signable(&longshore);
    for folder in ["one", "two"] {
        fs::create_dir(here.join(folder)).expect("a folder");
    }
    // An unsigned copy of the package, and a pipe in the place of signatures.
    fs::copy(&file, here.join("one/a.longshore")).expect("copies");
    fs::copy(version("0.9.0", here), here.join("two/b.longshore")).expect("copies");
    let made = Command::new("mkfifo").arg(here.join("two/b.longshore.sig")).status();
    assert!(made.is_ok_and(|status| status.success()));
    let host = longshore.spawn(&["serve", "one", "two"], &[]);
    longshore.wait_until("the unsigned copy is refused", || problems(&longshore).contains("LS0211"));
    longshore.wait_until("the pipe is refused", || problems(&longshore).contains("it is not a plain file"));
    fs::remove_file(here.join("two/b.longshore.sig")).expect("removes");
    fs::remove_file(here.join("two/b.longshore")).expect("removes");
    ok(longshore.run(&["sign", text(&file), "--key", "alice"]));
    ok(longshore.run(&["packages", "add", text(&file)]));
    longshore.wait_until("the signature counts for every copy", || active(&longshore) == ["hello 0.1.0"]);
    // The unsigned copy is touched, and the policy is moved away: nothing is lost, and nothing is let in.
    fs::copy(hello(), here.join("one/a.longshore")).expect("copies");
    fs::rename(here.join("trust.toml"), here.join("elsewhere.toml")).expect("moves");
    fs::copy(version("1.0.0", here), here.join("one/billing.longshore")).expect("copies");
    longshore.wait_until("a policy that is gone is a fault", || problems(&longshore).contains("LS0101"));
    assert_eq!(active(&longshore), ["hello 0.1.0"]);
    fs::rename(here.join("elsewhere.toml"), here.join("trust.toml")).expect("moves");
    longshore.wait_until("it is there again", || problems(&longshore).contains("not signed"));
    assert_eq!(active(&longshore), ["hello 0.1.0"]);
    let planned = longshore.run(&["plan", "one", "--json"]).stdout;
    assert!(planned.contains("LS0211") && planned.contains("billing"), "{planned}");
    // Others may write to the list of those who may sign.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(here.join("allowed"), fs::Permissions::from_mode(0o666)).expect("sets");
    let refused = longshore.run(&["packages", "add", text(&file), "--json"]);
    assert!(refused.error_code() == "LS0120" && refused.stdout.contains("mode 666"), "{}", refused.stdout);
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_package_is_signed_again_by_another_key_after_one_was_revoked() {
    let longshore = Longshore::new();
    let file = signable(&longshore);
    let (old, new) = (keygen(&longshore, "old", &[]), keygen(&longshore, "new", &[]));
    write(
        &longshore,
        "trust.toml",
        "policy = \"require\"\nallowed_signers = \"allowed\"\nrevoked_keys = [\"revoked\"]\n",
    );
    write(&longshore, "allowed", &old);
    write(&longshore, "revoked", "");
    ok(longshore.run(&["sign", text(&file), "--key", "old"]));
    fs::create_dir(longshore.home.path().join("drop")).expect("a folder");
    let dropped = longshore.home.path().join("drop/hello.longshore");
    fs::copy(&file, &dropped).expect("copies");
    let host = longshore.spawn(&["serve", "drop"], &[]);
    longshore.wait_until("it is loaded", || active(&longshore) == ["hello 0.1.0"]);
    write(&longshore, "revoked", old.split("\" ").nth(1).expect("a key"));
    longshore.wait_until("its key is revoked", || active(&longshore).is_empty());
    // The new key is valid from a moment after the package was taken in.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let from = chrono::Utc::now() - chrono::Duration::seconds(1);
    let from = format!("valid-after=\"{}Z\",namespaces=", from.format("%Y%m%d%H%M%S"));
    write(&longshore, "allowed", &(old + &new.replace("namespaces=", &from)));
    ok(longshore.run(&["sign", text(&dropped), "--key", "new"]));
    longshore.wait_until("the new key counts", || active(&longshore) == ["hello 0.1.0"]);
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_key_that_expires_takes_nothing_away_that_was_taken_in_before() {
    let longshore = Longshore::new();
    let file = signable(&longshore);
    let alice = keygen(&longshore, "alice", &[]);
    ok(longshore.run(&["sign", text(&file), "--key", "alice"]));
    let valid = |until: &str| {
        write(
            &longshore,
            "allowed",
            &alice.replace("namespaces=", &format!("valid-before=\"{until}Z\",namespaces=")),
        );
    };
    write(&longshore, "trust.toml", "policy = \"require\"\nallowed_signers = \"allowed\"\n");
    valid("29990101");
    fs::create_dir(longshore.home.path().join("drop")).expect("a folder");
    fs::copy(&file, longshore.home.path().join("drop/hello.longshore")).expect("copies");
    let host = longshore.spawn(&["serve", "drop"], &[]);
    longshore.wait_until("it is loaded", || active(&longshore) == ["hello 0.1.0"]);
    assert_eq!(host.stop(), Some(0));
    // The end of its key lies between the moment it was taken in and now.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let past = chrono::Utc::now() - chrono::Duration::seconds(1);
    valid(&past.format("%Y%m%d%H%M%S").to_string());
    let host = longshore.spawn(&["serve", "drop"], &[]);
    longshore.wait_until("it is loaded again", || active(&longshore) == ["hello 0.1.0"]);
    assert_eq!(host.stop(), Some(0));
    for _ in 0..2 {
        ok(longshore.run(&["packages", "add", text(&file)]));
    }
    let new = longshore.run(&["verify", text(&file), "--trust", "trust.toml", "--json"]);
    assert_eq!(new.error_code(), "LS0211", "whoever sees it first now sees an expired key");
}

#[test]
fn a_policy_may_warn_and_may_be_asked_for_by_name() {
    let longshore = Longshore::new();
    let file = signable(&longshore);
    write(&longshore, "allowed", "");
    write(&longshore, "warn.toml", "policy = \"warn\"\nallowed_signers = \"allowed\"\n");
    write(&longshore, "strict.toml", "policy = \"require\"\nallowed_signers = \"allowed\"\n");
    ok(longshore.run(&["run", text(&file), "--trust", "warn.toml"]));
    let conditions = longshore.run(&["packages", "--json"]).stdout;
    assert!(conditions.contains("LS0211") && conditions.contains("not signed"), "{conditions}");
    let refused = longshore.run(&["run", text(&file), "--trust", "strict.toml", "--json"]);
    assert_eq!(refused.error_code(), "LS0211", "{}", refused.stdout);
    let none = longshore.run(&["run", text(&file), "--trust", "nowhere.toml", "--json"]);
    assert_eq!(none.error_code(), "LS0101", "{}", none.stdout);
    write(&longshore, "bad.toml", "policy = \"always\"\nallowed_signers = \"allowed\"\n");
    let bad = longshore.run(&["run", text(&file), "--trust", "bad.toml", "--json"]);
    assert_eq!(bad.error_code(), "LS0120", "{}", bad.stdout);
}
