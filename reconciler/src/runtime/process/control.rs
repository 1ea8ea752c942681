//! The child's end of the pipe that its host controls it by.

use super::launch::MAX_SPEC;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

#[cfg(unix)]
pub(super) fn control() -> Option<File> {
    use std::os::fd::AsFd;
    std::io::stdin().as_fd().try_clone_to_owned().map(File::from).ok()
}

#[cfg(windows)]
pub(super) fn control() -> Option<File> {
    use std::os::windows::io::AsHandle;
    std::io::stdin().as_handle().try_clone_to_owned().map(File::from).ok()
}

/// A line, byte by byte: what follows it is a request.
pub(super) fn read_line(control: &mut File) -> Vec<u8> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < MAX_SPEC && control.read_exact(&mut byte).is_ok() && byte != *b"\n" {
        line.push(byte[0]);
    }
    line
}

/// Returns when the host asks for the end of this process, or has been gone for a while.
pub(super) fn wait_for_request(mut control: File, grace: Duration) {
    loop {
        match control.read(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(0) => return std::thread::sleep(grace),
            Ok(_) | Err(_) => return,
        }
    }
}
