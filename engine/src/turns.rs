//! One fire of a trigger at a time: whether an earlier run goes on is looked up before the next one is started.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The triggers of an engine that fire right now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>>);

impl Turns {
    /// The lock that a trigger holds while it fires.
    pub(crate) fn of(&self, trigger: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(trigger).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(trigger.to_owned(), Arc::downgrade(&turn));
        turn
    }
}
