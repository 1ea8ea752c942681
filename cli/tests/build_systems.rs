//! Other build systems build and stage packages, with the real tools.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;
use support::{Crate, Longshore, one_task};

/// A crate in a folder whose name has what languages give a meaning of their own, and the file for a build system.
fn emitted(name: &str, system: &str) -> (tempfile::TempDir, Longshore, String) {
    let (folder, longshore) = (tempfile::tempdir().expect("folder"), Longshore::new());
    let krate = Crate::of_source(name, &one_task(name, "Ok(())"));
    let path = folder.path().join("it's a $crate");
    fs::rename(krate.folder.path(), &path).expect("moves");
    let ended = longshore.run(&["build", path.to_str().expect("UTF-8"), "--emit", system]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    (folder, longshore, ended.stdout)
}

/// Runs a tool of a build system; false when it is not installed, which a newcomer need not have.
fn tool(program: &str, args: &[&str], folder: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).envs(longshore_testing::throwaway_build());
    let Ok(output) = command.output() else {
        // The project's own checks install it and insist.
        assert!(
            std::env::var_os("LONGSHORE_REQUIRE_BUILD_SYSTEMS").is_none(),
            "{program} is missing: run .ci/setup"
        );
        eprintln!("skipped: {program} is not installed; .ci/setup installs it");
        return false;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program}: {}{}", text(&output.stdout), text(&output.stderr));
    true
}

fn changed(file: &Path) -> SystemTime {
    fs::metadata(file).and_then(|file| file.modified()).expect("is there")
}

fn is_package(longshore: &Longshore, file: &Path) {
    let inspected = longshore.run(&["inspect", file.to_str().expect("UTF-8"), "--json"]);
    assert_eq!(inspected.code, Some(0), "{}", inspected.stderr);
}

#[test]
fn cmake_builds_stages_and_installs() {
    let (folder, longshore, text) = emitted("with-cmake", "cmake");
    let here = folder.path();
    fs::write(here.join("package.cmake"), text).expect("writes");
    let lists = "cmake_minimum_required(VERSION 3.20)\nproject(x NONE)\ninclude(package.cmake)\n";
    fs::write(here.join("CMakeLists.txt"), lists).expect("writes");
    if !tool("cmake", &["-B", "out", "-S", "."], here) {
        return;
    }
    tool("cmake", &["--build", "out"], here);
    let file = here.join("out/packages/with-cmake.longshore");
    is_package(&longshore, &file);
    let before = changed(&file);
    tool("cmake", &["--build", "out"], here);
    assert_eq!(changed(&file), before, "nothing changed");
    tool("cmake", &["--install", "out", "--prefix", "installed"], here);
    is_package(&longshore, &here.join("installed/share/longshore/with-cmake.longshore"));
}

#[test]
fn make_builds_what_others_depend_on() {
    let (folder, longshore, text) = emitted("with-make", "make");
    let here = folder.path();
    fs::write(here.join("package.mk"), text).expect("writes");
    let makefile = "all: copy\ninclude package.mk\ncopy: $(longshore_with_make_file)\n\tcp $< $@\n";
    fs::write(here.join("Makefile"), makefile).expect("writes");
    if tool("make", &["LONGSHORE_STAGE=staged"], here) {
        is_package(&longshore, &here.join("staged/with-make.longshore"));
        assert!(here.join("copy").is_file());
    }
}

#[test]
fn meson_builds_and_installs() {
    let (folder, longshore, text) = emitted("with-meson", "meson");
    let here = folder.path();
    fs::create_dir(here.join("package")).expect("makes");
    fs::write(here.join("package/meson.build"), text).expect("writes");
    fs::write(here.join("meson.build"), "project('x')\nsubdir('package')\n").expect("writes");
    if !tool("meson", &["setup", "out", "--prefix", "/usr"], here) {
        return;
    }
    tool("meson", &["compile", "-C", "out"], here);
    is_package(&longshore, &here.join("out/package/with-meson.longshore"));
    let destination = here.join("root");
    tool("meson", &["install", "-C", "out", "--destdir", destination.to_str().expect("UTF-8")], here);
    is_package(&longshore, &destination.join("usr/share/longshore/with-meson.longshore"));
}
