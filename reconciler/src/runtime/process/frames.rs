//! Frames between a host and a package's process: a tag and a payload.
//!
//! A lane is one socket: the host asks, the child answers, so that nothing needs a number. Outcomes, log lines
//! and slots come over a socket of their own, whenever they happen.

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use std::io;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The descriptors that a child finds its sockets at: calls, polls, graphs, news.
pub(crate) const SOCKETS: [i32; 4] = [3, 4, 5, 6];

/// Largest frame, in bytes. The largest context is far below; a larger frame is a fault of the child.
pub(crate) const MAX_FRAME: usize = 256 << 20;

/// The first frame of a child: it is ready. The interface version follows, and its build.
pub(crate) const READY: u8 = 1;

/// The first frame of a child: it refuses the library. Code, a NUL and the message follow.
pub(crate) const REFUSED: u8 = 2;
/// The first frame of a child: its library is not the file that was verified.
pub(crate) const CHANGED: u8 = 10;

/// The first frame of a child: it is of another build than its host. Its own follows.
pub(crate) const OTHER_BUILD: u8 = 11;

/// An answer: the reply of the method.
pub(crate) const ANSWERED: u8 = 3;

/// An answer: the package was built before the method existed.
pub(crate) const ABSENT: u8 = 4;

/// An answer: the call failed; the message follows.
pub(crate) const FAILED: u8 = 5;

/// Event: an attempt ended. The lease and the reply follow.
pub(crate) const FINISHED: u8 = 6;

/// Event: a log line.
pub(crate) const LOG: u8 = 7;

/// Event: an attempt gives its slot back.
pub(crate) const RELEASE: u8 = 8;

/// Event: an attempt wants a slot again.
pub(crate) const RECLAIM: u8 = 9;

/// Bytes before the payload: its length and the tag.
pub(crate) const HEADER: usize = 5;

/// Writes one frame, in one call for all but large ones. One over the limit is refused, before anything is written.
///
/// # Errors
/// That of the socket; [`io::ErrorKind::InvalidInput`] for a frame over the limit.
pub(crate) fn write(out: &mut impl Write, tag: u8, payload: &[&[u8]]) -> io::Result<()> {
    let len: usize = payload.iter().map(|part| part.len()).sum();
    if len > MAX_FRAME {
        return Err(over_limit(len));
    }
    let mut frame = Vec::with_capacity(HEADER + len);
    frame.extend_from_slice(&u32::try_from(len).map_err(io::Error::other)?.to_le_bytes());
    frame.push(tag);
    payload.iter().for_each(|part| frame.extend_from_slice(part));
    out.write_all(&frame)
}

/// The length and the tag of a frame that begins with these bytes.
pub(crate) fn header(bytes: [u8; HEADER]) -> io::Result<(usize, u8)> {
    let [a, b, c, d, tag] = bytes;
    let len = u32::from_le_bytes([a, b, c, d]) as usize;
    if len > MAX_FRAME {
        return Err(io::Error::other(over_limit(len)));
    }
    Ok((len, tag))
}

fn over_limit(len: usize) -> io::Error {
    let message = format!(
        "a message of {len} bytes, over the limit of {MAX_FRAME} between a host and a package's process"
    );
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// A socket of a lane that is read until a time: bytes that trickle in do not make it longer.
pub(crate) struct Until<'s> {
    pub(crate) socket: &'s UnixStream,
    pub(crate) deadline: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        self.socket.read(bytes)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.socket.set_write_timeout(Some(left))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time a side of a lane spins for the next frame before it sleeps: as long as it takes to wake it up, so that
/// spinning in vain costs at most what sleeping would have.
const SPIN: Duration = Duration::from_micros(50);

/// Spins for the next frame; returns when there is something to read, or it is time to sleep.
///
/// Both sides of a lane that is busy find each other awake, and a call costs what its bytes cost. A machine with one
/// processor does not spin: the other side runs when this one sleeps.
pub(crate) fn spin(socket: &UnixStream) {
    static ALONE: LazyLock<bool> =
        LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2));
    if *ALONE {
        return;
    }
    let until = Instant::now() + SPIN;
    let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    while recv(socket.as_raw_fd(), &mut [0], peek) == Err(Errno::EAGAIN) && Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// Reads one frame.
pub(crate) fn read(input: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut bytes = [0; HEADER];
    input.read_exact(&mut bytes)?;
    let (len, tag) = header(bytes)?;
    let mut payload = Vec::new();
    // Grows with what arrives, not with what the length says.
    input.take(len as u64).read_to_end(&mut payload)?;
    if payload.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((tag, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_trickle_in_are_read_until_the_deadline_and_no_longer() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let trickle = std::thread::spawn(move || {
            let mut theirs = theirs;
            while theirs.write_all(&[1]).is_ok() {
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = read(&mut Until { socket: &ours, deadline }).expect_err("never whole");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(ours);
        trickle.join().expect("ends with the socket");
    }

    #[test]
    fn a_frame_survives_the_crossing_and_a_lying_one_is_refused() {
        let mut bytes = Vec::new();
        write(&mut bytes, FINISHED, &[b"one", b"two"]).expect("writes");
        assert_eq!(read(&mut &bytes[..]).expect("reads"), (FINISHED, b"onetwo".to_vec()));
        assert!(read(&mut &bytes[..bytes.len() - 1]).is_err(), "cut");
        let huge = vec![0; MAX_FRAME + 1];
        let refused = write(&mut bytes, FINISHED, &[&huge]).expect_err("over the limit");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(read(&mut &[0xff, 0xff, 0xff, 0xff, LOG][..]).is_err(), "too long");
        assert!(read(&mut &[0, 0, 0, 1, LOG, 7][..]).is_err(), "longer than what there is");
    }
}
