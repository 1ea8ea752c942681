//! Turns at the dynamic linker of this process.
//!
//! While a library's constructors run, the linker's lock is held: whoever opens another library waits for them. So
//! libraries are opened one after the other, and when one does not come back, it is known which one it is.
//!
//! # Caveats
//! - The C library takes the same lock when a thread first uses a thread-local with a destructor (glibc 2.41,
//!   `__cxa_thread_atexit_impl`): a constructor that does not return holds up more than other libraries. So a version is
//!   probed beside those of its package that are open, whatever was found out about it before: a constructor that waits
//!   for them shows in a child.

use crate::error::Error;
use longshore_package::PackageName;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::MutexGuard;

/// Whose turn it is to open a library, and the package that did not come back from its own.
#[derive(Debug, Default)]
pub struct Linker {
    turn: tokio::sync::Mutex<()>,
    stuck: Mutex<Option<(PackageName, Arc<AtomicBool>)>>,
}

impl Linker {
    /// Waits for the turn.
    ///
    /// # Errors
    /// [`Error::LinkerHeld`] while another package does not come back.
    pub(crate) async fn turn(&self) -> Result<MutexGuard<'_, ()>, Error> {
        let turn = self.turn.lock().await;
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        match &*stuck {
            Some((by, has_come_back)) if !has_come_back.load(Ordering::Acquire) => {
                Err(Error::LinkerHeld { by: by.clone() })
            }
            _ => {
                *stuck = None;
                Ok(turn)
            }
        }
    }

    /// A package does not come back; `has_come_back` becomes true when it does after all.
    pub(crate) fn held_by(&self, package: &PackageName, has_come_back: Arc<AtomicBool>) {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        *stuck = Some((package.clone(), has_come_back));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_a_library_does_not_come_back_no_other_one_is_opened() {
        let (linker, has_come_back) = (Linker::default(), Arc::new(AtomicBool::new(false)));
        let turn = linker.turn().await.expect("nobody has it");
        linker.held_by(&"stuck".into(), Arc::clone(&has_come_back));
        drop(turn);
        let error = linker.turn().await.map(drop).expect_err("it does not come back");
        assert!(error.code() == "LS0322" && error.to_string().contains("`stuck`"), "{error}");
        has_come_back.store(true, Ordering::Release);
        drop(linker.turn().await.expect("it came back after all"));
    }
}
