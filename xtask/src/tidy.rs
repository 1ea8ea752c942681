//! Rules of the house that no linter knows.

use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Longest file, without its tests.
const MAX_LINES: usize = 600;

/// Modules that decide and import nothing that acts.
const PURE: [&str; 6] = [
    "engine/src/decide",
    "engine/src/model",
    "engine/src/reactors/state.rs",
    "package/src/compatibility.rs",
    "reconciler/src/plan",
    "workflow/src/names.rs",
];

/// What a pure module does not import.
const IMPURE: [&str; 4] = ["tokio", "sqlx", "fidius", "axum"];

/// Checks the tree and fails with everything that is wrong.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent")?;
    let mut sources = Vec::new();
    collect(root, &mut sources)?;
    let mut wrong = Vec::new();
    let mut codes = BTreeSet::new();
    for path in &sources {
        let text = std::fs::read_to_string(path)?;
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        let body = text.split("#[cfg(test)]\nmod ").next().unwrap_or(&text);
        let is_test = name.contains("/tests/");
        if !is_test && body.lines().count() > MAX_LINES {
            wrong.push(format!("{name}: {} lines, over {MAX_LINES}", body.lines().count()));
        }
        if PURE.iter().any(|pure| name.starts_with(pure)) {
            for import in IMPURE.iter().filter(|i| body.contains(&format!("use {i}::"))) {
                wrong.push(format!("{name}: a module that decides imports {import}"));
            }
        }
        if text.contains(concat!("#[", "ignore]")) {
            wrong.push(format!("{name}: an ignored test without a reason on the line"));
        }
        codes.extend(codes_in(body));
    }
    wrong.extend(undocumented(root, &codes)?);
    wrong.extend(migrations_differ(root)?);
    if wrong.is_empty() {
        println!("tidy: {} files, {} error codes", sources.len(), codes.len());
        return Ok(());
    }
    bail!("not tidy:\n  {}", wrong.join("\n  "))
}

fn collect(folder: &Path, sources: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, sources)?;
        } else if name.ends_with(".rs") {
            sources.push(path);
        }
    }
    Ok(())
}

/// `"LS0101"` literals.
fn codes_in(text: &str) -> Vec<String> {
    let code = |part: &str| {
        part.len() == 6 && part.starts_with("LS") && part[2..].bytes().all(|b| b.is_ascii_digit())
    };
    text.split('"').filter(|part| code(part)).map(str::to_owned).collect()
}

/// Codes without a page in `docs/errors`, and pages of codes that no source has.
fn undocumented(root: &Path, codes: &BTreeSet<String>) -> anyhow::Result<Vec<String>> {
    let pages = std::fs::read_dir(root.join("docs/errors")).context("docs/errors")?;
    let file_name = |entry: std::io::Result<std::fs::DirEntry>| -> anyhow::Result<String> {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    let names = pages.map(file_name).collect::<anyhow::Result<BTreeSet<String>>>()?;
    let documented: BTreeSet<String> =
        names.iter().filter_map(|name| name.strip_suffix(".md")).map(str::to_owned).collect();
    let missing = codes.difference(&documented).map(|code| format!("docs/errors: no page of {code}"));
    let stale = documented.difference(codes).map(|code| format!("docs/errors/{code}.md: no source has it"));
    Ok(missing.chain(stale).collect())
}

fn migrations_differ(root: &Path) -> anyhow::Result<Vec<String>> {
    let names = |dialect: &str| -> anyhow::Result<BTreeSet<String>> {
        let entries = std::fs::read_dir(root.join("migrations").join(dialect))?;
        entries.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect()
    };
    let (sqlite, postgres) = (names("sqlite")?, names("postgres")?);
    Ok(sqlite
        .symmetric_difference(&postgres)
        .map(|name| format!("migrations: {name} is on one side only"))
        .collect())
}
