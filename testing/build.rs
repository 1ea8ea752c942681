//! Finds out whether PostgreSQL is installed: without it its tests are ignored, with that reason.

use std::path::Path;

const INSTALLED: &str = "/usr/lib/postgresql";

fn main() {
    println!("cargo::rerun-if-changed={INSTALLED}");
    println!("cargo::rustc-check-cfg=cfg(has_postgres)");
    let versions = std::fs::read_dir(INSTALLED).into_iter().flatten().flatten();
    if versions.into_iter().any(|version| Path::new(&version.path()).join("bin/initdb").is_file()) {
        println!("cargo::rustc-cfg=has_postgres");
    }
}
