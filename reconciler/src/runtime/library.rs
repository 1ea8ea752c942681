//! Opening a library: the only place where code of a package begins to run.
//!
//! # Caveats
//! fidius offers `load_library` as a safe function, although `dlopen` runs constructors and the registry is
//! believed as it is. Nothing can be proven about a stranger's library. What makes it acceptable: the bytes
//! are those that were checked (a [`VerifiedArtifact`] in a folder only this user can write), a child process
//! has done all of this once before, and every later call goes through fidius's bounds and status verify.

use crate::artifact::cache::{FileIdentity, VerifiedArtifact, open_verified};
use crate::error::Error;
use crate::runtime::instance::{Instance, Mapping};
use crate::runtime::leftovers::note_own_handlers;
use fidius_host::{CallError, LoadError, PluginHandle};
use longshore_workflow_plugin::interface::{INTERFACE_HASH, LongshoreHost, LongshoreHostBinding};
use longshore_workflow_plugin::wire::{ShellConfig, Wire};
use longshore_workflow_plugin::{INTERFACE_VERSION, Method};
use serde_bytes::ByteBuf;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name fidius gives the interface.
const INTERFACE: &str = "LongshorePackage";

/// The interface version since which packages report to their host.
const HOST_SINCE: u32 = 2;

/// A library that is mapped here, with its one instance.
pub(crate) struct OpenLibrary {
    handle: PluginHandle,
    mapping: Mapping,
    interface_version: u32,
}

impl OpenLibrary {
    /// Opens a verified library and makes its instance. `mapped` gets the library as soon as it is mapped, whatever comes of
    /// it after that: as long as that is kept, so is the library.
    pub(crate) fn open(
        artifact: &VerifiedArtifact,
        host: Option<Arc<dyn LongshoreHost>>,
        config: &ShellConfig,
        mapped: impl FnOnce(Mapping),
    ) -> Result<Self, Error> {
        note_own_handlers();
        Self::open_file(artifact.path(), artifact.identity(), host, config, mapped)
    }

    /// As [`OpenLibrary::open`], for children, whose process ends with the library.
    pub(crate) fn open_file(
        path: &Path,
        identity: FileIdentity,
        host: Option<Arc<dyn LongshoreHost>>,
        config: &ShellConfig,
        mapped: impl FnOnce(Mapping),
    ) -> Result<Self, Error> {
        let file = open_verified(path, identity)?;
        let mut library =
            fidius_host::loader::load_library(&name_of(&file, path)).map_err(|e| load_error(&e))?;
        // The file is closed after the library: whoever asks what an address belongs to opens it by that name.
        let mapping: Mapping = Arc::new((Arc::clone(&library.library), file));
        // Before anything else can fail: its constructors may have started threads.
        mapped(Arc::clone(&mapping));
        let ours = library.plugins.iter().filter(|p| p.info.interface_name == INTERFACE).count();
        if ours != 1 {
            return Err(Error::Load { message: format!("it registers {ours} packages, not one") });
        }
        library.plugins.retain(|p| p.info.interface_name == INTERFACE);
        let speaks_to_host = library.plugins.iter().any(|plugin| plugin.info.interface_version >= HOST_SINCE);
        if let Some(host) = host.filter(|_| speaks_to_host)
            && !LongshoreHostBinding::bind(&library, host).map_err(|e| load_error(&e))?
        {
            let message =
                "it takes no host table: `fidius_get_host_imports` is not among its symbols".to_owned();
            return Err(Error::Load { message });
        }
        let plugin = library.plugins.remove(0);
        let info = &plugin.info;
        if info.interface_hash != INTERFACE_HASH || info.interface_version > INTERFACE_VERSION {
            let message = format!(
                "it speaks interface version {} ({:016x})",
                info.interface_version, info.interface_hash
            );
            return Err(Error::Load { message });
        }
        let interface_version = info.interface_version;
        let expected = Method::ALL.iter().filter(|m| m.since() <= interface_version).count();
        if plugin.method_count as usize != expected {
            return Err(Error::Load {
                message: format!("it has {} methods, not {expected}", plugin.method_count),
            });
        }
        let handle = PluginHandle::configure_from_loaded(plugin, &ByteBuf::from(config.encode()));
        Ok(Self { handle: handle.map_err(|e| load_error(&e))?, mapping, interface_version })
    }

    /// Ends the instance and leaves the library mapped, in a process that is about to end: threads that it started may go
    /// on in it.
    pub(crate) fn end_instance(self) {
        let mapping = Arc::clone(&self.mapping);
        drop(self);
        std::mem::forget(mapping);
    }
}

impl Instance for OpenLibrary {
    fn interface_version(&self) -> u32 {
        self.interface_version
    }

    fn call(&self, method: Method, request: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if method.since() > self.interface_version {
            return Ok(None);
        }
        match self.handle.call_method_raw(method.position(), request) {
            Ok(reply) => Ok(Some(reply)),
            Err(CallError::NotImplemented { .. } | CallError::InvalidMethodIndex { .. }) => Ok(None),
            Err(error) => Err(Error::Answer { method: method.name(), message: error.to_string() }),
        }
    }
}

/// A name by which the dynamic linker opens this very file, whatever lies at its path meanwhile.
///
/// The linker takes a name that it has seen for the library that it has, and numbers of descriptors come again: a serial
/// number is spelt out in parts of the path that mean nothing.
#[cfg(target_os = "linux")]
fn name_of(file: &File, _: &Path) -> PathBuf {
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicU32, Ordering};
    static OPENED: AtomicU32 = AtomicU32::new(0);
    let serial = OPENED.fetch_add(1, Ordering::Relaxed);
    let spelt: String = (0..u32::BITS - serial.leading_zeros())
        .map(|bit| if serial >> bit & 1 == 1 { "./" } else { "/" })
        .collect();
    // Not `self`: a debugger resolves it in its own process.
    PathBuf::from(format!("/proc/{}/fd/{spelt}{}", std::process::id(), file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn name_of(_: &File, path: &Path) -> PathBuf {
    path.to_owned()
}

fn load_error(error: &LoadError) -> Error {
    Error::Load { message: error.to_string() }
}
