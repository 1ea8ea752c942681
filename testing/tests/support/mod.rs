//! Broken packages, and hosts to give them to.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use longshore_reconciler::HostOptions;
use longshore_testing::{Kind, TestHost, throwaway_build, throwaway_target};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program of probes and of isolated packages.
const CHILD: &str = env!("CARGO_BIN_EXE_longshore-test-child");

/// The folder in which a test program that runs as another user finds the child and the corpus.
const PREPARED: &str = "LONGSHORE_TEST_PREPARED";

fn prepared(name: &str) -> Option<PathBuf> {
    std::env::var_os(PREPARED).map(|folder| Path::new(&folder).join(name))
}

/// This test program, to be run as an ordinary user with whatever it needs: that user may not look into the checkout.
pub fn as_an_ordinary_user(folder: &Path) -> Command {
    const NOBODY: u32 = 65_534;
    let put = |from: &Path, name: &str| {
        std::fs::copy(from, folder.join(name)).expect("copies");
    };
    put(&std::env::current_exe().expect("a program"), "tests");
    put(Path::new(CHILD), "child");
    std::fs::write(folder.join("corpus.so"), corpus()).expect("writes");
    let temporary = folder.join("tmp");
    std::fs::create_dir(&temporary).expect("folder");
    std::os::unix::fs::chown(&temporary, Some(NOBODY), Some(NOBODY)).expect("gives it away");
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("opens it");
    let mut command = Command::new(folder.join("tests"));
    command.env(PREPARED, folder).env("TMPDIR", &temporary).env("HOME", &temporary).current_dir(&temporary);
    command.uid(NOBODY).gid(NOBODY);
    command
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The library of `tests/corpus`, built once for a test program.
pub fn corpus() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| match prepared("corpus.so") {
        Some(library) => std::fs::read(library).expect("reads"),
        None => build("corpus"),
    })
}

/// The library of a crate in `tests`.
fn build(krate: &str) -> Vec<u8> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--manifest-path"])
        .arg(folder(krate).join("Cargo.toml"))
        .envs(throwaway_build())
        .output()
        .expect("cargo starts");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Every test reads, patches and writes it many times: without symbols it is a sixth as large.
    let stripped = tempfile::NamedTempFile::new().expect("a file");
    let library = throwaway_target().join(format!("debug/lib{krate}.so"));
    run(Command::new("objcopy").arg("--strip-all").arg(library).arg(stripped.path()));
    std::fs::read(stripped.path()).expect("a library")
}

/// The library of `tests/deadly`.
pub fn deadly() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| build("deadly"))
}

/// Where `tests/entries` has names; its graph is bound to the reactor `need` and takes the source `take`.
const NAMES: [&str; 9] =
    ["entries-00", "flow_00", "more_00", "trig_00", "reac_00", "srce_00", "bound_00", "solo_00", "solo_01"];

/// A copy of `tests/entries` whose names end in `number` (of two digits), but for those that are given with what
/// they are to be. Its graph is bound to its own reactor.
pub fn entries(number: u32, renamed: &[(&str, &str)]) -> Vec<u8> {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    let mut bytes = BUILT.get_or_init(|| build("entries")).clone();
    let given = |name: &str| renamed.iter().find(|(from, _)| *from == name).map(|(_, to)| (*to).to_owned());
    for name in NAMES {
        // Two graphs of one package: their own digits tell them apart.
        let numbered = format!("{}{number:02}", &name[..name.len() - 2]);
        let numbered = if name.starts_with("solo") { name.to_owned() } else { numbered };
        replace(&mut bytes, name.as_bytes(), given(name).unwrap_or(numbered).as_bytes());
    }
    for (from, own) in [("need_00", "reac"), ("take_00", "srce")] {
        let own = format!("{own}_{number:02}");
        replace(&mut bytes, from.as_bytes(), given(from).unwrap_or(own).as_bytes());
    }
    bytes
}

/// A copy of the corpus that does what `mode` says, under a name of its own.
pub fn variant(mode: &str, number: u32) -> Vec<u8> {
    let mut bytes = corpus().to_vec();
    let word = format!("LONGSHORE-CORPUS-MODE:{mode:.<26}");
    replace(&mut bytes, b"LONGSHORE-CORPUS-MODE:well......................", word.as_bytes());
    replace(&mut bytes, b"corpus-000", format!("corpus-{number:03}").as_bytes());
    replace(&mut bytes, b"shared-000", format!("shared-{number:03}").as_bytes());
    bytes
}

/// As [`variant`], with the second workflow of another one.
pub fn variant_with_workflow_of(mode: &str, number: u32, other: u32) -> Vec<u8> {
    let mut bytes = variant(mode, number);
    let (own, theirs) = (format!("shared-{number:03}"), format!("shared-{other:03}"));
    replace(&mut bytes, own.as_bytes(), theirs.as_bytes());
    bytes
}

/// A good copy whose dynamic section says `-z nodelete`: the flag is put in the place of an entry that nobody needs.
pub fn never_unmapped(number: u32) -> Vec<u8> {
    const FLAGS_1: u64 = 0x6fff_fffb;
    const NODELETE: u64 = 8;
    let mut bytes = variant("well", number);
    let word = |at: usize, bytes: &[u8]| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let half = |at: usize, bytes: &[u8]| u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes"));
    let (table, size, count) = (word(32, &bytes) as usize, half(54, &bytes), half(56, &bytes));
    let header = (0..count).map(|n| table + usize::from(n) * usize::from(size));
    let is_dynamic = |at: &usize| u32::from_le_bytes(bytes[*at..at + 4].try_into().expect("4 bytes")) == 2;
    let header = header.clone().find(is_dynamic).expect("it has a dynamic section");
    let (start, length) = (word(header + 8, &bytes) as usize, word(header + 32, &bytes) as usize);
    // DT_RELACOUNT only speeds the dynamic linker up.
    let entries = (start..start + length).step_by(16);
    let at = entries
        .clone()
        .find(|at| word(*at, &bytes) == FLAGS_1)
        .or_else(|| (start..start + length).step_by(16).find(|at| word(*at, &bytes) == 0x6fff_fff9));
    let at = at.expect("an entry to write over");
    bytes[at..at + 8].copy_from_slice(&FLAGS_1.to_le_bytes());
    bytes[at + 8..at + 16].copy_from_slice(&NODELETE.to_le_bytes());
    bytes
}

/// A copy whose static record names a task that the library does not have.
pub fn other_entries(number: u32, folder: &Path) -> Vec<u8> {
    let (record, whole) = record_of(number, folder);
    let mut bytes = std::fs::read(&record).expect("reads");
    replace(&mut bytes, b"only", b"onlx");
    std::fs::write(&record, bytes).expect("writes");
    let out = folder.join("other.so");
    let update = format!("--update-section=.longshore={}", record.display());
    run(Command::new("objcopy").arg(update).arg(&whole).arg(&out));
    std::fs::read(&out).expect("reads")
}

/// The static record of a good copy, in a file, and that copy.
fn record_of(number: u32, folder: &Path) -> (PathBuf, PathBuf) {
    let (record, whole) = (folder.join("record"), folder.join("whole.so"));
    std::fs::write(&whole, variant("well", number)).expect("writes");
    let dump = format!("--dump-section=.longshore={}", record.display());
    run(Command::new("objcopy").arg(dump).arg(&whole).arg("/dev/null"));
    (record, whole)
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{} is not in the library", String::from_utf8_lossy(from));
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

/// A library written in C with the corpus's static record in it.
pub fn in_c(define: &str, number: u32, folder: &Path) -> Vec<u8> {
    let (record, _) = record_of(number, folder);
    let (bare, out) = (folder.join("bare.so"), folder.join("broken.so"));
    let source = folder.join("broken.c");
    std::fs::write(&source, include_str!("broken.c")).expect("writes");
    let define = format!("-D{define}");
    run(Command::new("cc").args(["-shared", "-fPIC", &define, "-o"]).arg(&bare).arg(&source));
    let add = format!("--add-section=.longshore={}", record.display());
    run(Command::new("objcopy").arg(add).arg(&bare).arg(&out));
    std::fs::read(&out).expect("reads")
}

fn run(command: &mut Command) {
    let ended = command.output().expect("starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A host in a folder, whose children are this crate's program.
pub async fn open(folder: &Path, kind: Kind) -> TestHost {
    TestHost::open(options(folder, kind)).await
}

/// The options of [`open`].
pub fn options(folder: &Path, kind: Kind) -> HostOptions {
    let child = prepared("child").unwrap_or_else(|| CHILD.into());
    TestHost::options(folder, child, kind)
}
