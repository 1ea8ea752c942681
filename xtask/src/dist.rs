//! The command as it is given away: small, with its debug information in a file beside it, which backtraces find.

use crate::shell::{output, run};
use anyhow::{Context, ensure};
use std::path::Path;

/// Largest size of the command, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// The same for a command that is not optimised, as the checks build it.
const MAX_DEV_BYTES: u64 = 96 << 20;

/// Builds the command with a profile of cargo, and makes of it `target/dist/longshore` and `target/dist/longshore.debug`.
///
/// # Errors
/// When a step fails, or the command is larger than it should be.
pub fn dist(root: &Path, profile: &str) -> anyhow::Result<()> {
    run(root, &format!("cargo build --profile {profile} -q -p longshore-cli"), &[])?;
    let folder = root.join("target/dist");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder_of_profile = if profile == "dev" { "debug" } else { profile };
    let built = root.join("target").join(folder_of_profile).join("longshore");
    let built = built.display();
    // The link names the file by its last part, and is made where that is.
    run(&folder, &format!("objcopy --only-keep-debug {built} longshore.debug"), &[])?;
    run(&folder, &format!("objcopy --strip-all --add-gnu-debuglink=longshore.debug {built} longshore"), &[])?;
    for file in ["longshore", "longshore.debug"] {
        println!("{:>6} MB  target/dist/{file}", size(&folder.join(file))? >> 20);
    }
    let bytes = size(&folder.join("longshore"))?;
    let limit = if profile == "dev" { MAX_DEV_BYTES } else { MAX_BYTES };
    ensure!(bytes <= limit, "the command has {bytes} bytes, over the limit of {limit}");
    print!("{}", output(&folder, "./longshore --version --verbose")?);
    Ok(())
}

fn size(file: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(file).with_context(|| format!("cannot look at {}", file.display()))?.len())
}
