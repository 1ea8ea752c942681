//! Reactors: sources whose events fire graphs.
//!
//! - [`state`]: the values of one reactor, and whether its criteria hold.
//! - [`inbox`]: events that wait.
//! - [`bindings`]: the graphs a reactor fires, and what runs them.
//! - [`reactor`]: one running reactor.
//! - [`latest`]: firing in memory.
//! - [`sequential`]: inputs recorded first, processed in order.
//! - [`ingress`]: the way into a reactor.
//! - [`feeds`]: polls, timers of batches, streams.
//! - [`supervisor`]: all reactors of a host.
//! - [`tasks`]: keeps them as the catalog says.
//! - [`commands`]: what other programs ask.
//! - [`subscriptions`]: starts what firings ask for; refused starts become dead letters.
//! - [`persist`]: their records.
//! - [`replay`]: records of a replay, beside those of the reactor.
//! - [`log`]: what is told of work that is tried again.
//!
//! # Guarantees
//! - `latest`: a graph sees the newest values; events that it did not see are counted.
//! - `sequential`: every recorded input is processed in order, and its outputs are recorded once.
//!
//! # Caveats
//! - A graph that blocks its thread for ever keeps its reactor: the status says so, and the host goes on.

mod bindings;
mod commands;
mod feeds;
mod inbox;
mod ingress;
mod latest;
mod log;
mod persist;
mod reactor;
mod replay;
mod sequential;
mod state;
pub(crate) mod status;
mod subscriptions;
mod supervisor;
mod tasks;

pub use supervisor::Reactors;
pub(crate) use tasks::run;
