//! Panics of author code become failures with their message and place.

use crate::wire::TaskFailure;
use pin_project_lite::pin_project;
use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

/// Longest backtrace that is sent, in bytes: deep recursion would otherwise fill the run's record.
const MAX_BACKTRACE: usize = 32 * 1024;

thread_local! {
    /// The attempt that this thread polls right now, 0 for none.
    static LEASE: Cell<u64> = const { Cell::new(0) };
    /// The hook's note of the panic that is being unwound.
    static NOTE: RefCell<Option<TaskFailure>> = const { RefCell::new(None) };
}

/// The attempt that this thread polls right now, 0 for none.
pub(crate) fn current_lease() -> u64 {
    LEASE.get()
}

/// Installs the hook of this library image: its copy of std is its own, and so is its hook.
///
/// A panic outside an attempt goes to the hook that was there before.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if current_lease() == 0 {
                before(info);
            } else {
                NOTE.set(Some(note(info)));
            }
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) -> TaskFailure {
    let place =
        info.location().map(|l| format!(" at {}:{}:{}", l.file(), l.line(), l.column())).unwrap_or_default();
    let mut backtrace = Backtrace::force_capture().to_string();
    let cut = backtrace.floor_char_boundary(MAX_BACKTRACE);
    backtrace.truncate(cut);
    TaskFailure {
        message: format!("panicked{place}: {}", message_of(info.payload())),
        panicked: true,
        backtrace,
        ..TaskFailure::default()
    }
}

fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
}

fn failure_of(payload: &(dyn Any + Send)) -> TaskFailure {
    NOTE.take().unwrap_or_else(|| TaskFailure {
        message: format!("panicked: {}", message_of(payload)),
        panicked: true,
        ..TaskFailure::default()
    })
}

/// Calls author code as part of an attempt.
pub(crate) fn guarded<T>(lease: u64, call: impl FnOnce() -> T) -> Result<T, TaskFailure> {
    let outer = LEASE.replace(lease);
    let result = catch_unwind(AssertUnwindSafe(call));
    LEASE.set(outer);
    result.map_err(|payload| failure_of(&*payload))
}

pin_project! {
    /// A future of author code: every poll is guarded, and so is the drop of what a future that ended
    /// holds.
    pub(crate) struct Guarded<F> {
        lease: u64,
        #[pin]
        future: Option<F>,
    }
}

impl<F: Future> Guarded<F> {
    pub(crate) fn new(lease: u64, future: F) -> Self {
        Self { lease, future: Some(future) }
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, TaskFailure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = guarded(*this.lease, || {
            // A future that has ended is not polled again; one that is has no more to say.
            let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
            let polled = future.poll(cx);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(failure) => Poll::Ready(Err(failure)),
        }
    }
}
