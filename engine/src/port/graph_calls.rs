//! Calls of the graphs and accumulators of a package.

use longshore_workflow::InputCache;
use longshore_workflow_plugin::wire::CallFailure;
use std::borrow::Cow;

/// The values of the terminals that delivered, as MessagePack.
pub type Outputs = Vec<(Cow<'static, str>, Vec<u8>)>;

/// A package's graphs and accumulators. Every call blocks until it is over.
pub trait GraphCalls {
    /// Fires a graph.
    ///
    /// # Errors
    /// [`CallFailure`].
    fn fire(&self, graph: u32, cache: &InputCache, deadline_ms: u64) -> Result<Outputs, CallFailure>;

    /// Gives an accumulator an event.
    ///
    /// # Errors
    /// [`CallFailure`] that names the field.
    fn event(&self, accumulator: u32, event: &[u8]) -> Result<Vec<u8>, CallFailure>;

    /// Gives an accumulator its state and an event; returns the new state and the boundary value.
    ///
    /// # Errors
    /// [`CallFailure`] that names the field.
    fn stateful(
        &self,
        accumulator: u32,
        state: &[u8],
        event: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), CallFailure>;

    /// Gives an accumulator many events.
    ///
    /// # Errors
    /// [`CallFailure`] that names the event and the field.
    fn batch(&self, accumulator: u32, events: &[&[u8]]) -> Result<Option<Vec<u8>>, CallFailure>;

    /// Asks a polling accumulator.
    ///
    /// # Errors
    /// [`CallFailure`].
    fn poll(&self, accumulator: u32, deadline_ms: u64) -> Result<Option<Vec<u8>>, CallFailure>;
}

/// Work that calls a package.
pub type GraphJob = Box<dyn FnOnce(&dyn GraphCalls) + Send>;

/// Where a package may be called.
pub trait GraphRunner: Send + Sync {
    /// Runs a job: at once on this thread, or later on a thread of the package's generation. False when the
    /// generation takes no calls any more; the job is dropped then.
    fn run(&self, job: GraphJob) -> bool;

    /// True when jobs of several reactors wait in one queue: a long one keeps the others waiting.
    fn is_shared(&self) -> bool {
        false
    }
}
