//! The repository is tidy, and tidy sees what it is for: on small trees that are wrong in one way each.

use std::path::Path;
use xtask::tidy::{self, House, RULES, Rules, Tree};

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask has a parent");
    tidy::check(root).unwrap_or_else(|error| panic!("{error}"));
}

/// A crate `app` with the rooms `model` (pure), `work` and `shell`, beside a crate `store`.
const HOUSE: House = House {
    folder: "app/src/",
    rooms: &[("model", &[]), ("work", &["model"]), ("shell", &["work"]), ("lib.rs", &[])],
};

const MADE_UP: Rules = Rules {
    max_file: 40,
    max_function: 6,
    pure: &["app/src/model/"],
    houses: &[HOUSE],
    holds_database: &[("app/src/", &["work"])],
    ..RULES
};

/// Files of a tree without a finding.
const TIDY: [(&str, &str); 14] = [
    ("Cargo.toml", "[workspace]\nmembers = [\"app\", \"store\"]"),
    ("app/Cargo.toml", "[package]\nname = \"app\""),
    ("app/src/lib.rs", "mod model; mod shell; mod work; pub use work::run;"),
    ("app/src/model/mod.rs", "pub struct Plan; pub(crate) mod limits;"),
    ("app/src/model/limits.rs", "pub(crate) const MOST: usize = 3;"),
    ("app/src/work/mod.rs", "mod step; pub(crate) use step::{Step, run};"),
    (
        "app/src/work/step.rs",
        "use crate::model::Plan; use store::Store; pub(crate) struct Step; pub fn run(_: Plan, _: Store) {}",
    ),
    (
        "app/src/shell/mod.rs",
        "use crate::work::Step; pub(crate) fn code(_: Step) -> &'static str { \"LS0001\" }\n#[cfg(test)]\nmod tests { #[test] fn caused() { assert_eq!(super::code(), \"LS0001\"); } }",
    ),
    ("store/Cargo.toml", "[package]\nname = \"store\""),
    ("store/src/lib.rs", "mod open; pub use open::Store;"),
    (
        "store/src/open.rs",
        "use sqlx::SqlitePool; pub struct Store(SqlitePool); const READ: &str = \"SELECT 1\";",
    ),
    ("docs/errors/LS0001.md", "# LS0001"),
    ("migrations/sqlite/0001_schema.sql", ""),
    ("migrations/postgres/0001_schema.sql", ""),
];

/// The findings of the tidy tree with some files changed or added.
fn findings_with(changed: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in TIDY.iter().chain(changed) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("writes");
    }
    let tree = Tree::read(folder.path()).expect("parses");
    tidy::findings(&tree, &MADE_UP).expect("reads")
}

#[test]
fn a_tidy_tree_has_no_finding() {
    assert_eq!(findings_with(&[]), Vec::<String>::new());
}

#[test]
fn a_circle_between_files_is_shown_as_a_way_back() {
    let findings = findings_with(&[
        ("app/src/work/mod.rs", "mod other; mod step; pub(crate) use step::{Step, run};"),
        ("app/src/work/step.rs", "use super::other::Other; pub(crate) struct Step; pub fn run(_: Other) {}"),
        ("app/src/work/other.rs", "pub(crate) struct Other(Vec<super::Step>);"),
    ]);
    assert_eq!(findings, ["circle: app/src/work/other.rs -> app/src/work/step.rs -> app/src/work/other.rs"]);
}

#[test]
fn a_path_inside_a_macro_counts_as_an_import() {
    let findings = findings_with(&[(
        "app/src/work/step.rs",
        "pub(crate) struct Step; pub fn run() { println!(\"{}\", crate::shell::code(Step)); }",
    )]);
    assert_eq!(
        findings,
        [
            "circle: app/src/shell/mod.rs -> app/src/work/step.rs -> app/src/shell/mod.rs",
            "app/src/work/step.rs imports app/src/shell/mod.rs: work may not",
        ]
    );
}

#[test]
fn a_room_imports_what_stands_below_it() {
    let findings = findings_with(&[(
        "app/src/shell/mod.rs",
        "use crate::model::Plan; pub(crate) fn code(_: Plan) -> &'static str { \"LS0001\" }\n#[cfg(test)] mod tests { const CODE: &str = \"LS0001\"; }",
    )]);
    assert_eq!(findings, ["app/src/shell/mod.rs imports app/src/model/mod.rs: shell may not"]);
}

#[test]
fn a_file_outside_the_rooms_is_named() {
    let lib = "mod helpers; mod model; mod shell; mod work; pub use work::run;";
    let findings = findings_with(&[("app/src/lib.rs", lib), ("app/src/helpers.rs", "")]);
    assert_eq!(findings, ["app/src/helpers.rs: no room `helpers.rs` in app/src/"]);
}

#[test]
fn a_file_that_decides_does_not_act_through_others() {
    let findings = findings_with(&[
        ("app/src/model/mod.rs", "pub(crate) mod limits; pub struct Plan(pub limits::Limit);"),
        ("app/src/model/limits.rs", "pub struct Limit; pub fn now() { std::time::Instant::now(); }"),
    ]);
    assert_eq!(
        findings,
        [
            "app/src/model/limits.rs: a file that decides reaches std::time::Instant::now",
            "app/src/model/mod.rs -> app/src/model/limits.rs: a file that decides reaches std::time::Instant::now",
        ]
    );
}

#[test]
fn the_database_is_held_by_the_rooms_that_may() {
    let findings = findings_with(&[("app/src/model/limits.rs", "pub(crate) struct Limit(store::Store);")]);
    assert_eq!(findings, ["app/src/model/limits.rs holds the database, store/src/open.rs"]);
}

#[test]
fn sql_stays_in_the_store() {
    let findings = findings_with(&[(
        "app/src/model/limits.rs",
        "const DELETE: &str = \"DELETE FROM runs WHERE id = ?\";",
    )]);
    assert_eq!(findings, ["app/src/model/limits.rs:1: SQL outside store/, migrations/"]);
    let findings =
        findings_with(&[("app/src/work/step.rs", "use sqlx::Row; pub(crate) struct Step; pub fn run() {}")]);
    assert_eq!(findings, ["app/src/work/step.rs: sqlx outside store/, migrations/"]);
}

#[test]
fn a_code_has_a_page_and_a_test_that_causes_it() {
    let shell = "pub(crate) fn code() -> [&'static str; 2] { [\"LS0001\", \"LS0002\"] }";
    let findings = findings_with(&[("app/src/shell/mod.rs", shell), ("docs/errors/LS0003.md", "")]);
    assert_eq!(
        findings,
        [
            "docs/errors/LS0002.md: not there",
            "docs/errors/LS0003.md: no source has it",
            "LS0001: no test causes it",
            "LS0002: no test causes it",
        ]
    );
    let tests = [("app/tests/codes.rs", "#[test] fn two() { assert_eq!(code(), \"LS0002\"); }")];
    let shell =
        [("app/src/shell/mod.rs", shell), ("docs/errors/LS0002.md", ""), ("app/tests/one.stderr", "LS0001")];
    assert_eq!(findings_with(&[&shell[..], &tests].concat()), Vec::<String>::new());
}

#[test]
fn long_files_and_functions_are_named_and_tests_do_not_count() {
    let long = "fn one() {\n\n\n\n\n}\nfn two() {\n\n\n\n\n\n}\n";
    let findings = findings_with(&[("app/src/model/limits.rs", long)]);
    assert_eq!(findings, ["app/src/model/limits.rs:7: `two` has 7 lines, over 6"]);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}{long}}}", "\n".repeat(50));
    assert_eq!(findings_with(&[("app/src/model/limits.rs", &tests)]), Vec::<String>::new());
    let findings = findings_with(&[("app/src/model/limits.rs", &"\n".repeat(41))]);
    assert_eq!(findings, ["app/src/model/limits.rs: 41 lines, over 40"]);
}

#[test]
fn an_ignored_test_says_why() {
    let reasoned = "#[test]\n#[ignore = \"needs a server\"]\nfn slow() {}";
    assert_eq!(findings_with(&[("app/tests/slow.rs", reasoned)]), Vec::<String>::new());
    let findings = findings_with(&[("app/tests/slow.rs", "#[test]\n#[ignore]\nfn slow() {}")]);
    assert_eq!(findings, ["app/tests/slow.rs:2: an ignored test without a reason"]);
}

#[test]
fn a_migration_is_there_in_each_dialect() {
    let findings = findings_with(&[("migrations/sqlite/0002_more.sql", "")]);
    assert_eq!(findings, ["migrations: 0002_more.sql is in one dialect only"]);
}

#[test]
fn a_file_that_does_not_parse_is_named_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("broken.rs"), "fn one() {}\nfn {").expect("writes");
    let error = Tree::read(folder.path()).expect_err("does not parse");
    assert!(error.to_string().starts_with("broken.rs:2: "), "{error}");
}

#[test]
fn an_import_under_another_word_is_an_import() {
    for text in
        ["pub(self) use std::time::Instant;", "pub(crate) use std::time::Instant;", "use std::time::*;"]
    {
        let findings = findings_with(&[("app/src/model/limits.rs", text)]);
        assert!(
            findings.iter().any(|finding| finding.contains("a file that decides reaches")),
            "{text}: {findings:?}"
        );
    }
    for text in ["pub(crate) use crate::work::Step;", "struct Limit(self::super::super::work::Step);"] {
        let findings = findings_with(&[("app/src/model/limits.rs", text)]);
        assert!(findings.iter().any(|finding| finding.ends_with("model may not")), "{text}: {findings:?}");
    }
}

#[test]
fn a_source_that_no_module_leads_to_is_named() {
    let findings = findings_with(&[("app/src/work/lost.rs", "use crate::shell::code;")]);
    assert_eq!(findings, ["app/src/work/lost.rs: no module leads to it"]);
}

#[test]
fn a_rule_that_names_nothing_is_named() {
    let findings = findings_with(&[
        ("app/src/lib.rs", "mod model; mod work; pub use work::run;"),
        ("app/src/shell/mod.rs", ""),
    ]);
    assert!(
        findings.contains(&"app/src/shell: a rule names it, and nothing is there".to_owned()),
        "{findings:?}"
    );
}
