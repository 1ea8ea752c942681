//! The first process of a child, which runs no code of the package: it starts the one that does, waits for its end, and
//! ends whatever it left behind, in sessions and groups of its own included (Linux: `PR_SET_CHILD_SUBREAPER`).

use crate::runtime::process::control::wait_for_request;
use crate::runtime::process::exit::{LEFT_PROCESSES, NO_PROCESS};
use nix::libc::c_int;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, pthread_sigmask, raise, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, setpgid};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// The time the processes that a child left get to die of SIGKILL. One that the system holds is left to it.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// The pause between two looks for processes that were killed and are not gone.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);

/// Goes on in a process of its own under this one, which ends it at the request of its host.
pub(super) fn enter_below(control: File, grace: Duration) {
    // A core of either would fill the disk; the exit is reported in words.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let watched = SigSet::from_iter([Signal::SIGCHLD, Signal::SIGTERM]);
    let _ = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&watched), None);
    let _ = prctl::set_child_subreaper(true);
    match split() {
        Ok(ForkResult::Parent { child }) => reap(child, control, grace, &watched),
        Ok(ForkResult::Child) => {
            let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            if let Ok(nothing) = File::open("/dev/null") {
                let _ = dup2_stdin(&nothing);
            }
        }
        Err(error) => {
            eprintln!("no process for the package: {error}");
            std::process::exit(NO_PROCESS);
        }
    }
    let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&watched), None);
}

#[expect(unsafe_code, reason = "a process is split in two")]
fn split() -> nix::Result<ForkResult> {
    // SAFETY: `run_child_if_requested` comes first in `main`: there is one thread, and no lock is held.
    unsafe { fork() }
}

/// Waits for the end of the child, sweeps, and ends as it did.
fn reap(child: Pid, control: File, grace: Duration, watched: &SigSet) -> ! {
    // The sockets and the output close with the child, not with this process.
    close_all_but_control(&control);
    std::thread::spawn(move || {
        wait_for_request(control, grace);
        let _ = kill(getpid(), Signal::SIGTERM);
    });
    let status = loop {
        match watched.wait() {
            Ok(Signal::SIGTERM) => {
                sweep();
                // An exit code would be taken for one of the library.
                die_of(Signal::SIGTERM);
            }
            Ok(_) => {
                if let Some(status) = reap_ended(child) {
                    break status;
                }
            }
            Err(_) => {}
        }
    };
    let left = sweep();
    match status {
        WaitStatus::Exited(_, 0) if left > 0 => std::process::exit(LEFT_PROCESSES),
        WaitStatus::Exited(_, code) => std::process::exit(code),
        WaitStatus::Signaled(_, signal, _) => die_of(signal),
        _ => std::process::exit(1),
    }
}

fn close_all_but_control(control: &File) {
    let own = control.as_raw_fd();
    if let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") {
        let _ = (dup2_stdin(&nothing), dup2_stdout(&nothing), dup2_stderr(&nothing));
    }
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<c_int> =
        open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2 && *number != own) {
        let _ = nix::unistd::close(number);
    }
}

/// Reaps what has ended. The status of the child when it is among them.
fn reap_ended(child: Pid) -> Option<WaitStatus> {
    let mut found = None;
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(_) => return found,
            Ok(status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..))) if pid == child => {
                found = Some(status);
            }
            Ok(_) => {}
        }
    }
}

/// Kills every process below this one. Returns how many there were that had not ended by themselves.
fn sweep() -> usize {
    let until = Instant::now() + SWEEP_LIMIT;
    let mut killed = 0;
    loop {
        let _ = reap_ended(Pid::from_raw(0));
        let children = children();
        if children.is_empty() || Instant::now() > until {
            return killed;
        }
        for pid in children {
            // A child of this process that was not waited for: the number is still its own.
            killed += usize::from(kill(pid, Signal::SIGKILL).is_ok());
        }
        // What they started comes here when they are gone.
        std::thread::sleep(SWEEP_PAUSE);
    }
}

/// Children of every thread of this process: orphans come to any of them.
fn children() -> Vec<Pid> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let of_thread = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).ok();
    let texts: Vec<String> = threads.flatten().filter_map(of_thread).collect();
    let pids = texts.iter().flat_map(|text| text.split_whitespace());
    pids.filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

/// Ends this process by the signal that ended the child.
fn die_of(cause: Signal) -> ! {
    reset(cause);
    let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::from(cause)), None);
    let _ = raise(cause);
    std::process::exit(128 + cause as i32)
}

#[expect(unsafe_code, reason = "a signal's handler is taken away")]
fn reset(cause: Signal) {
    // SAFETY: nothing of this process handles it.
    let _ = unsafe { signal(cause, SigHandler::SigDfl) };
}
