//! What a probe's verdict depends on beside the library.

use crate::runtime::process::launch::build;
use longshore_package::sha256_hex;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Variables that say where the dynamic linker looks. A probe has no others.
pub(crate) const LINKER_VARIABLES: [&str; 2] = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// Names this host's build and the libraries that the dynamic linker finds here. Another host program, another C library
/// or another search path give another name.
pub(crate) fn environment(program: &Path) -> String {
    let mut text = build();
    for variable in LINKER_VARIABLES {
        let value = std::env::var_os(variable).unwrap_or_default();
        // Writing to a String does not fail.
        let _ = write!(text, "\n{variable}={value:?}");
    }
    for file in
        [program, Path::new("/etc/ld.so.cache")].into_iter().map(Path::to_owned).chain(system_libraries())
    {
        let identity = std::fs::metadata(&file).ok().map(|metadata| {
            let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            (metadata.len(), modified)
        });
        let _ = write!(text, "\n{}={identity:?}", file.display());
    }
    sha256_hex(text.as_bytes())[..16].to_owned()
}

/// The C library and the dynamic linker of this process.
fn system_libraries() -> BTreeSet<std::path::PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| Some(&line[line.find('/')?..]));
    let is_system = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.starts_with("libc.") || name.starts_with("ld-")
    };
    paths.filter(is_system).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_another_environment() {
        let folder = tempfile::tempdir().expect("folder");
        let program = folder.path().join("host");
        std::fs::write(&program, "one").expect("writes");
        let before = environment(&program);
        assert_eq!(before, environment(&program));
        std::fs::write(&program, "another").expect("writes");
        assert_ne!(before, environment(&program));
    }
}
