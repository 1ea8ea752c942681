//! The call for a package's `build.rs`:
//!
//! ```no_run
//! longshore_build::configure();
//! ```
//!
//! A crate without a build script gets the same from `longshore build`, which reads [`linker_arguments`]
//! and [`stamps`] here, so that both ways of building give the same library.

use std::env;
use std::path::Path;
use std::process::Command;

/// Makes the linker emit what a host looks for, and stamps the library with how it was built.
///
/// Call it from `build.rs`. It prints instructions for cargo and reads only what cargo sets.
pub fn configure() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"packaged\"))");
    let target = env::var("TARGET").unwrap_or_default();
    // Cargo warns about these where there is no such library. `longshore build`, which makes one of any crate, brings them.
    if is_cdylib(&manifest()) {
        for argument in linker_arguments(&target) {
            println!("cargo::rustc-cdylib-link-arg={argument}");
        }
    }
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let profile = env::var("PROFILE").unwrap_or_default();
    for (name, value) in stamps(&target, &rustc, &profile, &enabled_features()) {
        println!("cargo::rustc-env={name}={value}");
    }
}

fn manifest() -> String {
    let folder = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    std::fs::read_to_string(Path::new(&folder).join("Cargo.toml")).unwrap_or_default()
}

/// True of a manifest that asks for a cdylib.
fn is_cdylib(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut is_list = false;
    lines.any(|line| {
        let key = line.split('=').next().unwrap_or_default().trim();
        is_list = matches!(key, "crate-type" | "crate_type") || is_list && !line.contains('=');
        is_list && (line.contains("\"cdylib\"") || line.contains("'cdylib'"))
    })
}

/// Linker arguments of a package for a target.
///
/// - C dependencies' symbols and linkme's section bounds stay inside the library: only the two functions
///   that a host looks up are exported.
/// - Sections that only linkme's bounds refer to are kept.
pub fn linker_arguments(target: &str) -> &'static [&'static str] {
    if target.contains("-linux-") || target.contains("-freebsd") {
        &["-Wl,--exclude-libs,ALL", "-Wl,-z,start-stop-visibility=hidden", "-Wl,-z,nostart-stop-gc"]
    } else {
        // rustc gives the other platforms' linkers a list of exports by itself.
        &[]
    }
}

/// Environment that `package!()` writes into the static record.
pub fn stamps(target: &str, rustc: &str, profile: &str, features: &[String]) -> Vec<(&'static str, String)> {
    vec![
        ("LONGSHORE_TARGET", target.to_owned()),
        ("LONGSHORE_COMPILER", compiler(rustc)),
        ("LONGSHORE_PROFILE", profile.to_owned()),
        ("LONGSHORE_FEATURES", features.join(",")),
        ("LONGSHORE_CONFIGURED", env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

fn compiler(rustc: &str) -> String {
    let output = Command::new(rustc).arg("--version").output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

fn enabled_features() -> Vec<String> {
    let mut features: Vec<String> = env::vars()
        .filter_map(|(name, _)| {
            name.strip_prefix("CARGO_FEATURE_").map(|f| f.to_lowercase().replace('_', "-"))
        })
        .collect();
    features.sort();
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stamp_is_named_and_filled() {
        let stamps = stamps("x86_64-unknown-linux-gnu", "rustc", "debug", &["packaged".into()]);
        assert!(
            stamps.iter().all(|(name, value)| name.starts_with("LONGSHORE_") && !value.is_empty()),
            "{stamps:?}"
        );
    }

    #[test]
    fn a_manifest_that_asks_for_a_cdylib_is_told() {
        assert!(is_cdylib("[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n"));
        assert!(is_cdylib("[lib]\ncrate-type = [\n  'rlib',\n  'cdylib', # for hosts\n]\n"));
        assert!(!is_cdylib("[lib]\ncrate-type = [\"rlib\"]\nname = \"cdylib\"\n# \"cdylib\"\n"));
        assert!(!is_cdylib(""));
    }

    #[test]
    fn only_elf_linkers_get_elf_arguments() {
        assert!(!linker_arguments("x86_64-unknown-linux-gnu").is_empty());
        assert!(linker_arguments("aarch64-apple-darwin").is_empty());
    }
}
