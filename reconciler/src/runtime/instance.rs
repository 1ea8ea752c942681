//! An open package, whether its library is mapped here or in a process of its own.

use crate::error::Error;
use longshore_package::{Declared, LiveEntries};
use longshore_workflow_plugin::Method;
use longshore_workflow_plugin::interface::NAME_REQUEST;
use longshore_workflow_plugin::wire::Wire;
use std::any::Any;
use std::sync::Arc;

/// The owner of a library's mapping. The C library keeps it for ever when it is closed while a thread lives that
/// has thread-locals of it: the last of these is dropped after every lane has ended.
pub(crate) type Mapping = Arc<dyn Any + Send + Sync>;

/// One instance of a package. Dropping it ends the instance, which must happen on a thread that belongs to the
/// generation.
pub trait Instance: Send + Sync {
    /// The interface version the package speaks.
    fn interface_version(&self) -> u32;

    /// Calls a method. `None` when the package was built before the method existed.
    ///
    /// # Errors
    /// [`Error::Answer`] of a method that failed, [`Error::Crashed`] when its process ended.
    fn call(&self, method: Method, request: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Starts an attempt where nothing else is executed, as far as there is such a place.
    ///
    /// # Errors
    /// As [`Instance::call`].
    fn start_alone(&self, request: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.call(Method::ExecuteTask, request)
    }
}

impl dyn Instance + '_ {
    /// Asks every position for its name: fidius fills the vtable in the order of the impl block, so that two
    /// methods written in the wrong order would answer for each other.
    pub(crate) fn check_positions(&self) -> Result<(), Error> {
        if self.interface_version() < 2 {
            return Ok(());
        }
        for method in Method::ALL {
            let name = self.call(method, NAME_REQUEST)?.unwrap_or_default();
            if name != method.name().as_bytes() {
                let message = format!(
                    "position {} calls itself `{}`",
                    method.position(),
                    String::from_utf8_lossy(&name)
                );
                return Err(Error::Answer { method: method.name(), message });
            }
        }
        Ok(())
    }

    /// Asks for everything the library declares.
    pub(crate) fn metadata(&self) -> Result<LiveEntries, Error> {
        Ok(LiveEntries {
            tasks: self.ask(Method::GetTaskMetadata)?,
            triggers: self.ask(Method::GetTriggerMetadata)?,
            reactors: self.ask(Method::GetReactorMetadata)?,
            bound_graphs: self.ask(Method::GetGraphMetadata)?,
            triggerless_graphs: self.ask(Method::GetTriggerlessGraphMetadata)?,
        })
    }

    fn ask<T: Wire + Default>(&self, method: Method) -> Result<T, Error> {
        match self.call(method, &[])? {
            None => Ok(T::default()),
            Some(reply) => {
                T::decode(&reply).map_err(|e| Error::Answer { method: method.name(), message: e.to_string() })
            }
        }
    }
}

/// Compares what a library answers with what its static record declares.
pub(crate) fn check_declared(live: &LiveEntries, declared: &Declared) -> Result<(), Error> {
    let differences = declared.differences(&Declared::of_library(live));
    if differences.is_empty() { Ok(()) } else { Err(Error::RecordMismatch { differences }) }
}
