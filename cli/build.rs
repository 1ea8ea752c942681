//! The commit, the compiler and the target that `longshore --version --verbose` shows.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A commit on the branch that is checked out, or another branch.
    for file in ["HEAD", "logs/HEAD"] {
        let file = format!("../.git/{file}");
        // One that is not there would build this anew each time.
        if Path::new(&file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let commit = said_by("git", &["rev-parse", "--short=12", "HEAD"]);
    println!("cargo::rustc-env=LONGSHORE_COMMIT={commit}");
    println!("cargo::rustc-env=LONGSHORE_RUSTC={}", said_by(&rustc, &["--version"]));
    println!("cargo::rustc-env=LONGSHORE_TRIPLE={}", std::env::var("TARGET").unwrap_or_default());
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|| "unknown".to_owned())
}
