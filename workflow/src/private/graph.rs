//! Functions that generated graphs and accumulators call.

use super::entry::{Boundary, EventError, GraphCall, GraphEntry};
use crate::context::Context;
use crate::context::finite::non_finite_in;
use crate::error::TaskError;
use crate::graph::{self, GraphError, GraphResult, Terminal, TerminalJson};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::Any;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Takes what the terminals of a graph deliver.
pub trait Terminals: Send {
    /// A terminal delivered.
    ///
    /// # Errors
    /// [`GraphError::Serialization`].
    fn take<T: Serialize + Send + 'static>(&mut self, name: &'static str, value: T)
    -> Result<(), GraphError>;
}

/// Keeps the values as they are, for a direct call.
#[derive(Default)]
pub struct AnyOutputs {
    outputs: Vec<Box<dyn Any + Send>>,
    terminals: Vec<Terminal>,
}

impl AnyOutputs {
    /// The result of a call that went through.
    pub fn finish(self) -> GraphResult {
        GraphResult::Completed { outputs: self.outputs, terminals: self.terminals }
    }
}

impl Terminals for AnyOutputs {
    fn take<T: Serialize + Send + 'static>(
        &mut self,
        name: &'static str,
        value: T,
    ) -> Result<(), GraphError> {
        let json = |value: &(dyn Any + Send)| {
            value.downcast_ref::<T>().and_then(|v| serde_json::to_value(v).ok()).unwrap_or_default()
        };
        self.terminals.push(Terminal { name, json: TerminalJson::Of(json) });
        self.outputs.push(Box::new(value));
        Ok(())
    }
}

/// Keeps the bytes of the values, for a call across a boundary.
#[derive(Default)]
pub struct ByteOutputs(pub Vec<(&'static str, Vec<u8>)>);

impl Terminals for ByteOutputs {
    fn take<T: Serialize + Send + 'static>(
        &mut self,
        name: &'static str,
        value: T,
    ) -> Result<(), GraphError> {
        self.0.push((name, graph::serialize(&value)?));
        Ok(())
    }
}

/// Reads an event.
///
/// # Errors
/// [`EventError`] that names the field.
pub fn event<T: DeserializeOwned>(at: usize, bytes: &[u8]) -> Result<T, EventError> {
    graph::decode(bytes).map_err(|error| EventError { at, field: error.field, message: error.message })
}

/// Reads a state; an empty one is the type's default.
///
/// # Errors
/// [`EventError`] when another version of the package wrote it.
pub fn state<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, EventError> {
    if bytes.is_empty() { Ok(T::default()) } else { event(0, bytes) }
}

/// The bytes of a boundary value or a state.
///
/// # Errors
/// [`EventError`] when the value does not serialize.
pub fn boundary<T: Serialize>(value: &T) -> Result<Vec<u8>, EventError> {
    graph::serialize(value).map_err(|error| EventError {
        at: 0,
        field: ".".to_owned(),
        message: error.to_string(),
    })
}

/// The bytes of a boundary value, if there is one.
///
/// # Errors
/// [`EventError`] when the value does not serialize.
pub fn maybe_boundary<T: Serialize>(value: Option<T>) -> Result<Boundary, EventError> {
    value.as_ref().map(boundary).transpose()
}

/// Runs work that blocks where a runtime does not suffer from it.
pub type BlockingHook = fn(&mut (dyn FnMut() + Send));

static BLOCKING: OnceLock<BlockingHook> = OnceLock::new();

/// Says how blocking nodes are run. The first word counts.
pub fn set_blocking(hook: BlockingHook) {
    let _ = BLOCKING.set(hook);
}

/// Runs a blocking node.
pub fn blocking<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let (mut work, mut done) = (Some(work), None);
    let mut once = || done = work.take().map(|work| work());
    match BLOCKING.get() {
        Some(hook) => hook(&mut once),
        None => once(),
    }
    // A hook that does not call what it is given has broken the only rule it has.
    done.unwrap_or_else(|| panic!("the blocking hook did not run the node"))
}

/// The time that an accumulator may take for an event. Others wait for it.
const EVENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Polls the future of an accumulator on this thread until it is ready.
///
/// # Errors
/// [`EventError`] when it takes more than 30 seconds.
pub fn wait_for_event<T>(future: impl Future<Output = T>) -> Result<T, EventError> {
    poll_until(pin!(future), Some(Instant::now() + EVENT_TIMEOUT)).ok_or_else(|| EventError {
        at: 0,
        field: String::new(),
        message: format!("the accumulator did not return within {} s", EVENT_TIMEOUT.as_secs()),
    })
}

/// Polls a blocking node's future on this thread until it is ready.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        // Without a deadline it is ready at once.
        if let Some(value) = poll_until(future.as_mut(), None) {
            return value;
        }
    }
}

/// Polls a future on this thread until it is ready. None when a deadline has passed.
fn poll_until<T>(mut future: Pin<&mut impl Future<Output = T>>, deadline: Option<Instant>) -> Option<T> {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}

/// Calls the trigger-less graph that a task names, with the context as its input, and stores the value of
/// each terminal under the terminal's name.
///
/// # Errors
/// [`TaskError`] when this binary has no such graph, or it fails.
pub async fn invoke(task: &str, name: &str, context: &mut Context<Value>) -> Result<(), TaskError> {
    let found = inventory::iter::<GraphEntry>().find(|g| g.name == name && g.reactor.is_empty());
    let Some(GraphEntry { call: GraphCall::Context(call), .. }) = found else {
        return Err(TaskError::DependencyNotSatisfied {
            dependency: format!("computation graph `{name}`"),
            task_id: task.to_owned(),
        });
    };
    let outputs = call(context).await.map_err(|error| failed(task, name, &error.to_string()))?;
    for (terminal, bytes) in outputs {
        if let Some(path) = non_finite_in(&bytes) {
            let message = format!(
                "terminal `{terminal}`: the number at `{path}` is NaN or infinite, which JSON has not"
            );
            return Err(TaskError::ValidationFailed { message });
        }
        let value: Value =
            graph::deserialize(&bytes).map_err(|error| failed(task, name, &error.to_string()))?;
        context.insert_as(terminal, value)?;
    }
    Ok(())
}

/// The result of a task's callback after its graph: unlike the callbacks of success and failure it is part of
/// the task.
///
/// # Errors
/// [`TaskError`] with the callback's own text.
pub fn after_graph(task: &str, outcome: impl super::CallbackOutcome) -> Result<(), TaskError> {
    match outcome.failure() {
        None => Ok(()),
        Some(message) => {
            let timestamp = chrono::Utc::now();
            Err(TaskError::ExecutionFailed { message, task_id: task.to_owned(), timestamp })
        }
    }
}

fn failed(task: &str, graph: &str, error: &str) -> TaskError {
    TaskError::ExecutionFailed {
        message: format!("computation graph `{graph}`: {error}"),
        task_id: task.to_owned(),
        timestamp: chrono::Utc::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocking_node_may_wait_for_another_thread() {
        let value = blocking(|| {
            wait(async {
                let mut polled = false;
                std::future::poll_fn(|cx| {
                    if std::mem::replace(&mut polled, true) {
                        return Poll::Ready(7);
                    }
                    let waker = cx.waker().clone();
                    std::thread::spawn(move || waker.wake());
                    Poll::Pending
                })
                .await
            })
        });
        assert_eq!(value, 7);
    }

    #[test]
    fn an_event_that_does_not_read_names_its_place_and_field() {
        let bytes = graph::serialize(&serde_json::json!({"n": "x"})).expect("serializes");
        #[derive(Debug, serde::Deserialize)]
        struct Event {
            #[expect(dead_code, reason = "only read")]
            n: u32,
        }
        let error = event::<Event>(3, &bytes).expect_err("a text");
        assert_eq!((error.at, error.field.as_str()), (3, "n"));
        assert_eq!(state::<u32>(&[]), Ok(0));
    }
}
