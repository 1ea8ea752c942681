//! Search of a crate's sources for a call of `package!()`.

use cargo_metadata::{CrateType, Package, Target};

/// Sources that are looked through.
const MAX_SOURCES: usize = 10_000;

/// Macros that write no items of a package. Any other one may call `package!()` for the crate.
const PLAIN_MACROS: [&str; 44] = [
    "anyhow",
    "assert",
    "assert_eq",
    "assert_ne",
    "bail",
    "column",
    "concat",
    "dbg",
    "debug",
    "debug_assert",
    "debug_assert_eq",
    "ensure",
    "env",
    "eprint",
    "eprintln",
    "error",
    "file",
    "format",
    "include_bytes",
    "include_str",
    "info",
    "json",
    "join",
    "line",
    "macro_rules",
    "matches",
    "module_path",
    "option_env",
    "panic",
    "pin",
    "print",
    "println",
    "select",
    "stringify",
    "thread_local",
    "todo",
    "trace",
    "try_join",
    "unimplemented",
    "unreachable",
    "vec",
    "warn",
    "write",
    "writeln",
];

/// Attributes that write no items of a package: those of the language, of the compiler's tools, and our own.
const PLAIN_ATTRIBUTES: [&str; 32] = [
    "allow",
    "cfg",
    "cfg_attr",
    "clippy",
    "computation_graph",
    "default",
    "deny",
    "deprecated",
    "derive",
    "doc",
    "error",
    "expect",
    "forbid",
    "ignore",
    "inline",
    "longshore",
    "must_use",
    "node",
    "non_exhaustive",
    "passthrough_accumulator",
    "reactor",
    "repr",
    "rustfmt",
    "serde",
    "should_panic",
    "source",
    "task",
    "test",
    "tokio",
    "trigger",
    "warn",
    "workflow",
];

/// False when no source of a crate calls `package!()`, and none is written by what may: nothing needs to be built to
/// tell.
pub(super) fn calls_package(package: &Package) -> bool {
    let is_library = |target: &&Target| target.crate_types.contains(&CrateType::CDyLib) || target.is_lib();
    let library = package.targets.iter().find(is_library).and_then(|target| target.src_path.parent());
    let Some(folder) = library else { return true };
    let mut folders = vec![folder.to_path_buf().into_std_path_buf()];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        // What cannot be read, cargo will tell.
        let Ok(entries) = std::fs::read_dir(folder) else { return true };
        for path in entries.flatten().map(|entry| entry.path()) {
            looked_at += 1;
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read(&path).unwrap_or_default();
                if looked_at > MAX_SOURCES || may_call(&String::from_utf8_lossy(&text)) {
                    return true;
                }
            }
        }
    }
    false
}

/// True when a source calls `package!()`, or has a macro or an attribute that we do not know: it may write the call.
fn may_call(source: &str) -> bool {
    let root =
        |attribute: &str| attribute.split(|c| !is_of_name(c)).next().map(str::to_owned).unwrap_or_default();
    let attributes =
        source.split('#').skip(1).filter_map(|rest| rest.trim_start_matches('!').strip_prefix('['));
    let mut attributes = attributes.map(root);
    attributes.any(|root| !PLAIN_ATTRIBUTES.contains(&root.as_str()))
        || source.match_indices('!').any(|(at, _)| {
            let name = source[..at].rsplit(|c| !is_of_name(c)).next().unwrap_or_default();
            let is_call = source[at + 1..].trim_start().starts_with(['(', '[', '{']) && !name.is_empty();
            is_call && !PLAIN_MACROS.contains(&name)
        })
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_macro_writes_may_call_it() {
        for source in [
            "longshore::package!();",
            "flows::chain!(numbers);",
            "    chain! { numbers }",
            "include!(\"flow.rs\");",
            "#[path = \"flow.rs\"]\nmod flow;",
            "#[flows::package]\nmod flow {}",
            "#[cfg(feature = \"packaged\")] flows::all!(x);",
            "mod flow { include!(\"flow.rs\"); }",
        ] {
            assert!(may_call(source), "{source}");
        }
        for source in [
            "#![deny(warnings)]\nfn a() {\n    std::println!(\"a\");\n    assert!(b != (c));\n}",
            "#[longshore::workflow(name = \"a\")]\nmod a {\n    #[task]\n    async fn b() {}\n}",
            "    if a != (b) {\n    !c\n",
        ] {
            assert!(!may_call(source), "{source}");
        }
    }
}
