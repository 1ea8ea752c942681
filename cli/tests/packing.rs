//! Builds for several targets in one package file.

mod support;

use longshore_package::{Archive, ArchiveLimits, host_target, pack, target_path};
use std::path::Path;
use support::{Longshore, hello};

/// Another target, whose name is as long as that of this one: in a copy of a library the one takes the place of the other.
fn other_target() -> String {
    format!("other9{}", &host_target()[6..])
}

/// The library of `hello`, as a compiler for another target would name that.
fn foreign(folder: &Path) -> String {
    let mut archive = Archive::open(hello(), ArchiveLimits::default()).expect("opens");
    let mut bytes = archive.library(&host_target()).expect("has it").bytes;
    let (own, other) = (host_target(), other_target());
    for at in 0..bytes.len() - own.len() {
        if bytes[at..].starts_with(own.as_bytes()) {
            bytes[at..at + own.len()].copy_from_slice(other.as_bytes());
        }
    }
    let path = folder.join("libhello_other.so");
    std::fs::write(&path, bytes).expect("writes");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn builds_for_several_targets_are_one_package_of_which_each_host_takes_its_own() {
    let longshore = Longshore::new();
    let (hello, library) = (hello().to_str().expect("UTF-8"), foreign(longshore.home.path()));
    let given = format!("{}={library}", other_target());
    let packed = longshore.run(&["pack", hello, "--library", &given, "-o", "both", "--json"]);
    assert_eq!(packed.code, Some(0), "{}{}", packed.stdout, packed.stderr);
    let file = longshore.home.path().join(packed.json()["file"].as_str().expect("a file"));
    let file = file.to_str().expect("UTF-8");
    let shown = longshore.run(&["inspect", file]).stdout;
    assert!(!shown.contains("retry"), "no task says anything of it: {shown}");
    assert!(shown.contains(&format!("also for   {}", other_target())), "{shown}");
    let other = longshore.run(&["inspect", file, "--target", &other_target(), "--json"]).json();
    assert_eq!(other["built"]["target"], other_target());
    assert_eq!(longshore.run(&["run", file]).code, Some(0), "it has a build for this machine");

    // The same builds are the same bytes, whatever they come from.
    let again = longshore.run(&["pack", file, hello, "-o", "again", "--json"]);
    let again = longshore.home.path().join(again.json()["file"].as_str().expect("a file"));
    assert_eq!(std::fs::read(again).expect("reads"), std::fs::read(file).expect("reads"));
}

#[test]
fn builds_that_are_not_of_one_package_are_refused() {
    let longshore = Longshore::new();
    let (hello, library) = (hello().to_str().expect("UTF-8"), foreign(longshore.home.path()));
    let wrong = format!("aarch64-unknown-linux-gnu={library}");
    let refused = longshore.run(&["pack", hello, "--library", &wrong, "--json"]);
    assert_eq!(refused.error_code(), "LS0115", "{}", refused.stdout);
    assert!(refused.stdout.contains(&format!("built for {}", other_target())), "{}", refused.stdout);
    let refused = longshore.run(&["pack", hello, "--library", &library, "--json"]);
    assert_eq!((refused.error_code().as_str(), refused.code), ("LS0705", Some(2)));
    assert_eq!(longshore.run(&["pack", "nothing.longshore", "--json"]).error_code(), "LS0101");

    // A package without a build for this machine is read, and not run.
    let mut archive = Archive::open(Path::new(hello), ArchiveLimits::default()).expect("opens");
    let files = [(target_path(&other_target(), "libhello.so"), std::fs::read(&library).expect("reads"))];
    let (_, bytes) = pack(archive.manifest(), &files).expect("packs");
    let only = longshore.home.path().join("only.longshore");
    std::fs::write(&only, bytes).expect("writes");
    let only = only.to_str().expect("UTF-8");
    assert_eq!(longshore.run(&["inspect", only, "--json"]).json()["target"], other_target());
    let refused = longshore.run(&["run", only, "--json"]);
    assert_eq!(refused.error_code(), "LS0111");
    assert!(refused.stdout.contains(&other_target()), "{}", refused.stdout);
    assert!(archive.library(&other_target()).is_err());
}

#[test]
fn a_record_that_is_not_that_of_its_library_is_seen_before_it_is_loaded() {
    let longshore = Longshore::new();
    let mut archive = Archive::open(hello(), ArchiveLimits::default()).expect("opens");
    let library = archive.library(&host_target()).expect("has it");
    let path = format!("records/{}", host_target());
    let record = archive.file(&path).expect("it has a record");
    let say = b"hello";
    let at = record.windows(say.len()).position(|bytes| bytes == say).expect("its name");
    let mut other = record.clone();
    other[at..at + say.len()].copy_from_slice(b"jello");
    let sum = longshore_package::sha256_hex;
    let manifest = archive.file("package.toml").expect("a manifest");
    let target = target_path(&host_target(), &library.name);
    let files = [("package.toml", manifest), (path.as_str(), other), (target.as_str(), library.bytes)];
    let sums: String = files.iter().map(|(path, bytes)| format!("{}  {path}\n", sum(bytes))).collect();
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, bytes) in
        files.iter().map(|(p, b)| (*p, b.as_slice())).chain([("SHA256SUMS", sums.as_bytes())])
    {
        writer.start_file(path, zip::write::SimpleFileOptions::default()).expect("starts");
        std::io::Write::write_all(&mut writer, bytes).expect("writes");
    }
    let file = longshore.home.path().join("other.longshore");
    std::fs::write(&file, writer.finish().expect("finishes").into_inner()).expect("writes");
    let refused = longshore.run(&["run", file.to_str().expect("UTF-8"), "--json"]);
    assert_eq!(refused.error_code(), "LS0121", "{}{}", refused.stdout, refused.stderr);
}

#[test]
fn libraries_alone_have_no_manifest() {
    let folder = tempfile::tempdir().expect("folder");
    let library = foreign(folder.path());
    let bytes = std::fs::read(&library).expect("reads");
    let build = longshore_package::Build::of_library(library, other_target(), "libhello.so".into(), bytes);
    assert_eq!(longshore_package::join(&[build]).expect_err("nobody says what it is").code(), "LS0116");
}
