//! Files that travel with a package.

use crate::{GraphError, TaskError, TriggerError};
use std::sync::OnceLock;

/// A file of a package's assets that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("asset `{name}`: {message}")]
pub struct AssetError {
    /// The file, relative to the folder `assets`.
    pub name: String,
    /// The fault.
    pub message: String,
}

impl From<AssetError> for TaskError {
    fn from(error: AssetError) -> Self {
        // The file does not come back by trying again.
        Self::failed(error.to_string()).permanent()
    }
}

impl From<AssetError> for TriggerError {
    fn from(error: AssetError) -> Self {
        Self::PollError { message: error.to_string() }
    }
}

impl From<AssetError> for GraphError {
    fn from(error: AssetError) -> Self {
        Self::NodeExecution(error.to_string())
    }
}

/// Reads a file of the crate's folder `assets`, as bytes: `Result<Vec<u8>, AssetError>`.
///
/// In a package the host reads it from its artifact cache, and compares it with the package's digest; in a program of
/// its own, and in tests, it is read from the folder of the crate.
///
/// ```
/// # use longshore_workflow::{Context, TaskError, asset};
/// # async fn task(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
/// let template = asset!("mail/welcome.txt")?;
/// # context.insert_as("length", template.len())
/// # }
/// ```
#[cfg(not(feature = "packaged"))]
#[macro_export]
macro_rules! asset {
    ($name:expr) => {
        $crate::private::asset($name, Some(::core::env!("CARGO_MANIFEST_DIR")))
    };
}

/// Reads a file of the crate's folder `assets`, as bytes: `Result<Vec<u8>, AssetError>`.
///
/// In a package the host reads it from its artifact cache, and compares it with the package's digest; in a program of
/// its own, and in tests, it is read from the folder of the crate.
#[cfg(feature = "packaged")]
#[macro_export]
macro_rules! asset {
    ($name:expr) => {
        $crate::private::asset($name, ::core::option::Option::None)
    };
}

type Source = Box<dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync>;

static SOURCE: OnceLock<Source> = OnceLock::new();

/// Sets where this library's assets come from: its host. The first one stays: a library has one host.
pub fn set_assets(source: Source) {
    let _ = SOURCE.set(source);
}

/// Reads an asset: from the host, or from the folder of a crate that is not a package.
///
/// # Errors
/// [`AssetError`] when there is no such file, it cannot be read, or it is not the one that was packed.
pub fn asset(name: impl AsRef<str>, crate_folder: Option<&str>) -> Result<Vec<u8>, AssetError> {
    let name = name.as_ref();
    let read = match (SOURCE.get(), crate_folder) {
        (Some(source), _) => source(name),
        (None, Some(folder)) => read_from_crate(name, folder),
        (None, None) => Err("no host is there to read it".to_owned()),
    };
    read.map_err(|message| AssetError { name: name.to_owned(), message })
}

fn read_from_crate(name: &str, folder: &str) -> Result<Vec<u8>, String> {
    let is_plain = !name.contains('\\') && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !is_plain {
        return Err("a name is relative to the folder `assets`, with `/` between its parts".to_owned());
    }
    std::fs::read(std::path::Path::new(folder).join("assets").join(name)).map_err(|error| error.to_string())
}
