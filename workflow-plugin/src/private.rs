//! Items that `package!()` and the host's loader name. Not a public surface.
#![doc(hidden)]

pub use crate::interface::*;
pub use fidius;
pub use longshore_workflow::private::*;

use crate::shell::Shell;
use crate::wire::{PackageMeta, ShellConfig, Wire};
use serde_bytes::ByteBuf;
use std::sync::Arc;

/// The host as a loaded library sees it: through the table that was bound into it.
struct BoundHost(LongshoreHostClient);

impl LongshoreHost for BoundHost {
    // A host that is gone cannot be told so: these two have nowhere to put an error.
    fn finished(&self, lease: u64, reply: ByteBuf) {
        let _ = self.0.finished(&lease, &reply);
    }

    fn log(&self, record: ByteBuf) {
        let _ = self.0.log(&record);
    }

    fn release_slot(&self, lease: u64) -> Result<(), fidius::PluginError> {
        self.0.release_slot(&lease).map_err(host_error)
    }

    fn reclaim_slot(&self, lease: u64) -> Result<bool, fidius::PluginError> {
        self.0.reclaim_slot(&lease).map_err(host_error)
    }

    fn asset(&self, name: String) -> Result<ByteBuf, fidius::PluginError> {
        self.0.asset(&name).map_err(host_error)
    }
}

fn host_error(error: fidius::HostCallError) -> fidius::PluginError {
    match error {
        fidius::HostCallError::Host(error) => error,
        error => fidius::PluginError::new("HOST", error.to_string()),
    }
}

/// A host for a library that was loaded only to be asked: outcomes and log lines go nowhere.
struct NoHost;

impl LongshoreHost for NoHost {
    fn finished(&self, _: u64, _: ByteBuf) {}

    fn log(&self, _: ByteBuf) {}

    fn release_slot(&self, _: u64) -> Result<(), fidius::PluginError> {
        Err(fidius::PluginError::new("HOST", "no host is bound"))
    }

    fn reclaim_slot(&self, _: u64) -> Result<bool, fidius::PluginError> {
        Err(fidius::PluginError::new("HOST", "no host is bound"))
    }

    fn asset(&self, _: String) -> Result<ByteBuf, fidius::PluginError> {
        Err(fidius::PluginError::new("HOST", "no host is bound"))
    }
}

/// The argument of the vtable's constructor: the encoded [`ShellConfig`].
pub type Config = ByteBuf;

/// Makes the instance. Called across the boundary, so it must not unwind: a configuration that does not
/// decode counts as none.
pub fn instance(config: &Config, name: &str, version: &str) -> Shell {
    let config =
        ShellConfig::decode(config).unwrap_or(ShellConfig { workers: 2, log_level: 0, shutdown_ms: 5000 });
    let package =
        PackageMeta { name: name.to_owned(), version: version.to_owned(), sdk: SDK_VERSION.to_owned() };
    let host: Arc<dyn LongshoreHost> = match LongshoreHostClient::bound() {
        Ok(client) => Arc::new(BoundHost(client)),
        Err(_) => Arc::new(NoHost),
    };
    Shell::packaged(host, package, config)
}

/// The version of this crate.
pub const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");

/// [`crate::INTERFACE_VERSION`] as the record writes it.
pub const INTERFACE_VERSION_TEXT: &str = "2";

/// The panic strategy of this crate, which is that of the whole library.
pub const PANIC_STRATEGY: &str = if cfg!(panic = "abort") { "abort" } else { "unwind" };

/// The target this crate was compiled for, by its parts, when `configure()` did not stamp the triple.
pub const ARCH: &str = std::env::consts::ARCH;

/// See [`ARCH`].
pub const OS: &str = std::env::consts::OS;

/// A stamp of `configure()`, or empty.
pub const fn stamp(stamp: Option<&'static str>) -> &'static str {
    match stamp {
        Some(text) => text,
        None => "",
    }
}

pub use crate::shell::Shell as PackageShell;
pub use crate::wire::WIRE_SCHEMA;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_states_the_versions_that_the_interface_has() {
        assert_eq!(INTERFACE_VERSION_TEXT, INTERFACE_VERSION.to_string());
        assert_eq!(INTERFACE_VERSION, __fidius_LongshorePackage::LongshorePackage_INTERFACE_VERSION);
        assert_eq!(INTERFACE_HASH_TEXT, format!("{INTERFACE_HASH:016x}"));
    }
}
