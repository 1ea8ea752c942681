//! This same binary, started as a probe or as the process of a package.

use crate::runtime::probe;
#[cfg(unix)]
use crate::runtime::process::{child, spec};

/// Serves as a probe or as the process of a package when this process was started as one, and does not return then.
/// Call it first in `main`, before any thread is started: both are children of the host's own binary.
pub fn run_child_if_requested() {
    let mut arguments = std::env::args_os().skip(1);
    let Some(first) = arguments.next() else { return };
    if first == probe::ARGUMENT {
        probe::serve();
    }
    #[cfg(unix)]
    if first == spec::ARGUMENT {
        child::serve();
    }
}
