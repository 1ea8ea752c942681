//! A loaded package and the ways to call it: in this process, or in a process of its own.

pub(crate) mod callbacks;
pub(crate) mod environment;
pub(crate) mod generation;
pub(crate) mod graph_calls;
pub(crate) mod instance;
pub(crate) mod lanes;
pub(crate) mod leftovers;
pub(crate) mod library;
pub(crate) mod linker;
pub(crate) mod options;
pub(crate) mod package_log;
pub(crate) mod probe;
pub(crate) mod process;

pub use generation::{Generation, NotOpened, Remains, UnloadResult};
pub use instance::Instance;
pub use linker::Linker;
pub use options::RuntimeOptions;
pub use probe::{ProbeOptions, probe};
