//! Rules of the house that no linter knows, checked over the parsed sources.

mod imports;
mod rules;
mod source;
mod tree;

pub use rules::{House, RULES, Rules};
pub use tree::Tree;

use imports::Imports;
use source::Source;
use std::collections::BTreeSet;
use std::path::Path;

/// Checks the repository in a folder against [`RULES`].
///
/// # Errors
/// Everything that is not tidy, a line each.
pub fn check(root: &Path) -> anyhow::Result<()> {
    let findings = findings(&Tree::read(root)?, &RULES)?;
    anyhow::ensure!(findings.is_empty(), "not tidy:\n  {}", findings.join("\n  "));
    Ok(())
}

/// Everything that is against the rules, a line each.
///
/// # Errors
/// When a folder that a rule names does not read.
pub fn findings(tree: &Tree, rules: &Rules) -> anyhow::Result<Vec<String>> {
    let imports = Imports::of(&tree.crates, &tree.sources);
    let mut findings = sizes(tree, rules);
    findings.extend(imports.circles().iter().map(|circle| format!("circle: {}", circle.join(" -> "))));
    findings.extend(unreached(tree, &imports, rules));
    findings.extend(idle_rules(&imports, rules));
    findings.extend(rooms(&imports, rules));
    findings.extend(acting(&imports, rules));
    findings.extend(databases(&imports, rules));
    findings.extend(sql(tree, &imports, rules));
    findings.extend(codes(tree, rules)?);
    findings.extend(migrations(tree, rules)?);
    Ok(findings)
}

/// Files and functions over their limits, and ignored tests without a reason.
fn sizes(tree: &Tree, rules: &Rules) -> Vec<String> {
    let mut findings = Vec::new();
    for Source { path, lines, functions, bare_ignores, .. } in tree.sources.values() {
        if *lines > rules.max_file && !path.contains("/tests/") {
            findings.push(format!("{path}: {lines} lines, over {}", rules.max_file));
        }
        for function in functions.iter().filter(|function| function.lines > rules.max_function) {
            let (name, line, lines) = (&function.name, function.line, function.lines);
            findings.push(format!("{path}:{line}: `{name}` has {lines} lines, over {}", rules.max_function));
        }
        let ignored =
            bare_ignores.iter().map(|line| format!("{path}:{line}: an ignored test without a reason"));
        findings.extend(ignored);
    }
    findings
}

/// Sources of a member that no crate root leads to: no other rule sees them.
fn unreached(tree: &Tree, imports: &Imports, rules: &Rules) -> Vec<String> {
    let folders: Vec<&str> =
        tree.crates.iter().filter_map(|krate| krate.root.rsplit_once('/')).map(|(f, _)| f).collect();
    let in_a_crate = |path: &str| {
        folders.iter().any(|folder| path.strip_prefix(folder).is_some_and(|p| p.starts_with('/')))
    };
    let sources = tree.sources.keys().filter(|path| in_a_crate(path) && !imports.reached.contains(*path));
    let unknown = sources.filter(|path| !rules.programs.contains(&path.as_str()));
    unknown.map(|path| format!("{path}: no module leads to it")).collect()
}

/// Rules that name nothing any more.
fn idle_rules(imports: &Imports, rules: &Rules) -> Vec<String> {
    let mut named: Vec<String> = rules.pure.iter().map(|path| (*path).to_owned()).collect();
    named.push(rules.database.to_owned());
    for House { folder, rooms } in rules.houses {
        named.extend(rooms.iter().map(|(room, _)| format!("{folder}{room}")));
    }
    for (folder, rooms) in rules.holds_database {
        named.extend(rooms.iter().map(|room| format!("{folder}{room}")));
    }
    let idle =
        named.into_iter().filter(|path| !imports.reached.iter().any(|file| file.starts_with(path.as_str())));
    idle.map(|path| format!("{path}: a rule names it, and nothing is there")).collect()
}

/// Imports from a room that the importing room may not touch.
fn rooms(imports: &Imports, rules: &Rules) -> Vec<String> {
    let mut findings = Vec::new();
    for House { folder, rooms } in rules.houses {
        for (at, (room, allowed)) in rooms.iter().enumerate() {
            let above = allowed.iter().filter(|room| !rooms[..at].iter().any(|(before, _)| before == *room));
            findings.extend(
                above.map(|above| format!("{folder}{room} may import {above}, which stands above it")),
            );
        }
        for (file, targets) in imports.files.iter().filter(|(file, _)| file.starts_with(folder)) {
            let room = room_of(file, folder);
            let Some((_, allowed)) = rooms.iter().find(|(name, _)| *name == room) else {
                findings.push(format!("{file}: no room `{room}` in {folder}"));
                continue;
            };
            let inside = targets.iter().filter(|target| target.starts_with(folder));
            let forbidden = inside.filter(|target| {
                room != room_of(target, folder) && !allowed.contains(&room_of(target, folder))
            });
            findings.extend(forbidden.map(|target| format!("{file} imports {target}: {room} may not")));
        }
    }
    findings
}

/// The folder or file right below a crate's sources that a file belongs to.
fn room_of<'f>(file: &'f str, folder: &str) -> &'f str {
    let inside = file.strip_prefix(folder).unwrap_or(file);
    inside.split('/').next().unwrap_or(inside)
}

/// Files that decide and reach, in their own crate, something that acts.
fn acting(imports: &Imports, rules: &Rules) -> Vec<String> {
    let acts = |file: &str| {
        let named = imports.external.get(file).into_iter().flatten();
        let mut acts = named.filter(|path| rules.impure.iter().any(|impure| path.starts_with(impure)));
        acts.next().cloned()
    };
    let mut findings = Vec::new();
    for file in imports.files.keys().filter(|file| rules.pure.iter().any(|pure| file.starts_with(pure))) {
        let (krate, _) = file.split_once("src/").unwrap_or((file, ""));
        for reached in imports.reach(file).into_iter().filter(|reached| reached.starts_with(krate)) {
            if let Some(path) = acts(reached) {
                let way =
                    imports.shortest_way(file, |to| to == reached).unwrap_or_else(|| vec![file.clone()]);
                findings.push(format!("{}: a file that decides reaches {path}", way.join(" -> ")));
            }
        }
    }
    findings
}

/// Files that hold the database's handle though their room may not, and files that decide and hold it.
fn databases(imports: &Imports, rules: &Rules) -> Vec<String> {
    let holds = imports.files.iter().filter(|(_, targets)| targets.contains(rules.database));
    let mut findings = Vec::new();
    for (file, _) in holds {
        let house = rules.holds_database.iter().find(|(folder, _)| file.starts_with(folder));
        let forbidden = house.is_some_and(|(folder, rooms)| !rooms.contains(&room_of(file, folder)));
        if forbidden || rules.pure.iter().any(|pure| file.starts_with(pure)) {
            findings.push(format!("{file} holds the database, {}", rules.database));
        }
    }
    findings
}

/// Statements and the driver outside the folders for SQL.
fn sql(tree: &Tree, imports: &Imports, rules: &Rules) -> Vec<String> {
    let elsewhere = |path: &str| {
        let is_test = path.contains("/tests/") || path.starts_with("testing/") || path.starts_with("bench/");
        !is_test && !rules.sql.iter().any(|folder| path.starts_with(folder))
    };
    let mut findings = Vec::new();
    for Source { path, literals, .. } in tree.sources.values().filter(|source| elsewhere(&source.path)) {
        let statements = literals.iter().filter(|(_, text)| is_statement(text));
        findings.extend(
            statements.map(|(line, _)| format!("{path}:{line}: SQL outside {}", rules.sql.join(", "))),
        );
    }
    for (file, named) in imports.external.iter().filter(|(file, _)| elsewhere(file)) {
        if named.iter().any(|path| path.starts_with("sqlx::")) {
            findings.push(format!("{file}: sqlx outside {}", rules.sql.join(", ")));
        }
    }
    findings
}

fn is_statement(text: &str) -> bool {
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some("SELECT"), Some(_))
        | (Some("INSERT"), Some("INTO" | "OR"))
        | (Some("DELETE"), Some("FROM")) => true,
        (Some("UPDATE"), Some(_)) => words.next() == Some("SET"),
        (Some("CREATE"), Some("TABLE" | "INDEX" | "UNIQUE")) | (Some("PRAGMA"), Some(_)) => true,
        _ => false,
    }
}

/// Codes without a page, pages without a code, and codes that no test causes.
fn codes(tree: &Tree, rules: &Rules) -> anyhow::Result<Vec<String>> {
    let literals = tree.sources.values().flat_map(|source| &source.literals);
    let codes: BTreeSet<&str> =
        literals.map(|(_, text)| text.as_str()).filter(|text| is_code(text)).collect();
    let pages = tree.names_in(rules.pages)?;
    let pages: BTreeSet<&str> = pages.iter().filter_map(|name| name.strip_suffix(".md")).collect();
    let tested = tree.sources.values().flat_map(|source| &source.test_literals).chain(&tree.recorded);
    let tested: Vec<&String> = tested.filter(|text| text.contains("LS")).collect();
    let untested = codes.iter().filter(|code| !tested.iter().any(|text| text.contains(**code)));
    let mut findings = Vec::new();
    findings.extend(codes.difference(&pages).map(|code| format!("{}/{code}.md: not there", rules.pages)));
    findings
        .extend(pages.difference(&codes).map(|code| format!("{}/{code}.md: no source has it", rules.pages)));
    findings.extend(untested.map(|code| format!("{code}: no test causes it")));
    Ok(findings)
}

fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix("LS").filter(|digits| digits.len() == 4);
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn migrations(tree: &Tree, rules: &Rules) -> anyhow::Result<Vec<String>> {
    let [left, right] = rules.migrations;
    let (left, right) = (tree.names_in(left)?, tree.names_in(right)?);
    let lonely = left.symmetric_difference(&right);
    Ok(lonely.map(|name| format!("migrations: {name} is in one dialect only")).collect())
}
