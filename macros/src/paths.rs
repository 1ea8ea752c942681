//! Where the author put our crates.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use std::path::Path;
use syn::Ident;

/// Crates that re-export the `private` module, in the order they are looked for.
const HOMES: [&str; 4] =
    ["longshore-workflow", "longshore", "longshore-workflow-plugin", "longshore-computation-graph"];

/// The path of `longshore_workflow::private` in the author's crate, whatever the dependency is called there.
///
/// # Errors
/// At the macro's call site, when the crate depends on none of ours.
pub(crate) fn private() -> syn::Result<TokenStream> {
    for home in homes() {
        let name = match crate_name(home) {
            Ok(FoundCrate::Name(name)) => name,
            Ok(FoundCrate::Itself) => home.replace('-', "_"),
            Err(_) => continue,
        };
        let name = Ident::new(&name, Span::call_site());
        return Ok(quote!(::#name::private));
    }
    Err(syn::Error::new(
        Span::call_site(),
        "this crate depends on neither `longshore` nor `longshore-workflow`; run `cargo add longshore`",
    ))
}

/// The crates in the order in which they are looked for. A library does not see its dev-dependencies: what stands among
/// the others comes first.
fn homes() -> Vec<&'static str> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(|folder| Path::new(&folder).join("Cargo.toml"));
    let text = manifest.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let mut homes = HOMES.to_vec();
    homes.sort_by_key(|home| !is_dependency(&text, home));
    homes
}

/// True when a manifest has a crate among its dependencies other than those for tests, under whatever name.
fn is_dependency(manifest: &str, name: &str) -> bool {
    let mut counts = false;
    let mut lines = manifest.lines().map(str::trim);
    let names = |line: &str| {
        let key = line.split(['=', '.']).next().unwrap_or_default();
        key.trim().trim_matches('"') == name || line.contains(&format!("package = \"{name}\""))
    };
    lines.any(|line| {
        let Some(table) = line.strip_prefix('[') else { return counts && names(line) };
        let table = table.trim_end_matches(']');
        // `[dependencies]`, `[target.'cfg(..)'.dependencies]`, and `[dependencies.NAME]`.
        let (kind, of) = match table.rsplit_once("dependencies.") {
            Some((kind, of)) => (kind, Some(of.trim_matches('"'))),
            None => (table.strip_suffix("dependencies").unwrap_or("-"), None),
        };
        counts = !kind.ends_with('-');
        counts && of.is_some_and(|of| of == name)
    })
}

#[cfg(test)]
mod tests {
    use super::is_dependency;

    #[test]
    fn dependencies_are_told_from_those_of_tests() {
        let is = |text: &str| is_dependency(text, "longshore-workflow");
        assert!(is("[dependencies]\nlongshore-workflow = \"1\"\n"));
        assert!(is("[dependencies]\nflows = { package = \"longshore-workflow\", version = \"1\" }\n"));
        assert!(is("[dependencies]\nlongshore-workflow.workspace = true\n"));
        assert!(is("[dependencies.longshore-workflow]\nversion = \"1\"\n"));
        assert!(is("[dependencies.flows]\npackage = \"longshore-workflow\"\n"));
        assert!(is("[target.'cfg(unix)'.dependencies]\nlongshore-workflow = \"1\"\n"));
        assert!(!is("[dev-dependencies]\nlongshore-workflow = \"1\"\n"));
        assert!(!is("[dev-dependencies.longshore-workflow]\nversion = \"1\"\n"));
        assert!(!is("[dependencies]\nlongshore = \"1\"\n[dev-dependencies]\nlongshore-workflow = \"1\"\n"));
    }
}
