//! What an operator does about an error.

use crate::error::Error;
use longshore_package::Drift;

/// The fix of a package that lacks signatures.
pub(crate) const UNTRUSTED_FIX: &str = "have it signed by somebody the policy allows (`longshore sign`), or add that signer to the allowed signers";

impl Error {
    /// The fix, as a sentence for the operator.
    pub fn fix(&self) -> String {
        match self {
            Self::Package(error) => error.fix(),
            Self::Store(error) => error.fix().to_owned(),
            Self::Registry(error) => error.fix(),
            Self::ReleaseReplaced { name, .. } => format!(
                "tell whoever runs the registry; `longshore packages unfollow {name}` and `follow` take what it has now"
            ),
            Self::ReleaseYanked { name, .. } | Self::ReleaseGone { name, .. } => {
                format!("have a newer version published, or go back: `longshore packages rollback {name}`")
            }
            Self::TrustPolicy { source } => source.fix(),
            Self::Untrusted { .. } => UNTRUSTED_FIX.to_owned(),
            Self::Incompatible { drifts, .. } => {
                drifts.first().map(Drift::fix).unwrap_or_default().to_owned()
            }
            Self::Step { error, .. } => error.fix().to_owned(),
            other => other.own_fix().to_owned(),
        }
    }

    /// The fix of what is wrong with the machine, with the host, or with its sources.
    fn host_fix(&self) -> &'static str {
        match self {
            Self::CacheWrite { .. } | Self::CacheRead { .. } => {
                "make the host's home folder readable and writable, and give it space and open files (ulimit -n)"
            }
            Self::ProbeStart { .. } | Self::ChildStart { .. } | Self::NoThread { .. } => {
                "check that this host's own program file is still there, and that it may start processes and threads \
                 (ulimit -u, pids.max) and open files (ulimit -n); it is tried again"
            }
            Self::SourceLost { .. } => {
                "mount or fill the folder again; when the packages are to go, `longshore packages remove NAME` each of them"
            }
            Self::TooManyFiles { .. } => {
                "move files that are not packages elsewhere, or name the folders below as sources"
            }
            Self::FileName => "rename the file",
            Self::SourceUnreadable { .. } => {
                "let the host's user read it; what was loaded from there stays loaded meanwhile"
            }
            _ => "",
        }
    }

    fn own_fix(&self) -> &'static str {
        match self {
            Self::Downgrade { .. } => {
                "when it is to run all the same, say so: `longshore packages add FILE` or `longshore packages pin NAME DIGEST`"
            }
            Self::OpenHung { .. } => {
                "find out what it waits for (a lock of the version before?), move that into a task, or isolate the package \
                 (`isolation = \"process\"`); its thread is lost until it returns"
            }
            Self::LinkerHeld { .. } => {
                "restart the host without that package, or isolate it; isolated packages are loaded all the same"
            }
            Self::OtherBuild { .. } => "restart the host: its program was replaced",
            Self::ProbeCrashed { .. } => {
                "a constructor, a static or a metadata call of the library crashes: run its tests, then build it again"
            }
            Self::ProbeHung { .. } => {
                "a constructor, a static or a metadata call of the library blocks: move that work into a task"
            }
            Self::Crashed { .. } | Self::ChildDied { .. } => {
                "read the crash report: `longshore packages show NAME`; the process is started again"
            }
            Self::CacheChanged { .. } => {
                "find out who writes to the host's cache folder; the library is cached again when the package is loaded again"
            }
            Self::Quarantined { .. } => {
                "build the library anew: another digest is probed anew; `longshore packages retry NAME` probes this one again"
            }
            Self::ChildRefused { .. } | Self::Load { .. } | Self::Answer { .. } => {
                "build it again with `longshore build` of this release"
            }
            Self::Panicked { .. } => "report this: it is a bug in Longshore; the package is tried again",
            Self::RecordMismatch { .. } => {
                "make sure every module with entries is linked (`use module as _;`), then build it again"
            }
            Self::Definition(_) => "correct the workflow, then build it again",
            Self::HasSubscribers { .. } => "remove those packages first, or keep the reactor",
            Self::ReactorCycle { .. } => "move the reactors into a package of their own",
            Self::ReactorRenamed { .. } => {
                "keep all workflows of the package in the tenant that they have, or give the reactor another name"
            }
            Self::Unresolved { .. } => {
                "correct the names, or load the package that has them; until then nothing is started for them"
            }
            Self::OtherPackage { .. } => "pack the archive again with `longshore build`",
            Self::Replaced { .. } => "nothing: it is read again at the next pass",
            Self::CacheMiss { .. } => {
                "put the package of that digest back, or give it up: cancel the runs that are pinned to it, or `longshore packages release NAME`"
            }
            Self::Superseded { .. } => "remove the older file",
            Self::Leaked { .. } => {
                "restart the host when it suits, or isolate the package (`isolation = \"process\"`)"
            }
            Self::RolledBack { .. } => "mend the package; another digest is loaded as soon as it is offered",
            Self::TooManyGenerations { .. } => {
                "cancel runs of old generations, or give them a drain deadline"
            }
            other => other.host_fix(),
        }
    }
}
