//! The first steps of a child: its specification, and whose child it is.

use crate::runtime::process::control::{control, read_line};
use crate::runtime::process::launch::{Envelope, build};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The specification of this process.
#[derive(Debug)]
pub(crate) enum Spec<T> {
    /// From a host of this build.
    Ours(T),
    /// From a host of another build.
    OtherBuild,
    /// Not from a host.
    Missing,
}

/// Reads the specification, and goes on where whatever this process starts ends with it. When the host is gone, the
/// process has `grace` to end.
pub(crate) fn enter<T: DeserializeOwned>(grace: impl FnOnce(&T) -> Duration) -> Spec<T> {
    let Some(mut control) = control() else { return Spec::Missing };
    let line = read_line(&mut control);
    let Ok(head) = serde_json::from_slice::<Envelope<serde_json::Value>>(&line) else { return Spec::Missing };
    if head.build != build() {
        return Spec::OtherBuild;
    }
    let Ok(spec) = serde_json::from_value::<T>(head.spec) else { return Spec::Missing };
    let grace = grace(&spec);
    #[cfg(target_os = "linux")]
    crate::runtime::process::reaper::enter_below(control, grace);
    #[cfg(not(target_os = "linux"))]
    std::thread::spawn(move || {
        crate::runtime::process::control::wait_for_request(control, grace);
        end_group();
    });
    Spec::Ours(spec)
}

/// Ends this process, with its group where there are groups.
#[cfg(not(target_os = "linux"))]
fn end_group() -> ! {
    #[cfg(unix)]
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(0), nix::sys::signal::Signal::SIGKILL);
    std::process::exit(1)
}
