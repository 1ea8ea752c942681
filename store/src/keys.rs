//! The key of a task.

use crate::batch::Param;
use crate::ids::RunId;
use sqlx::FromRow;

/// Names a task of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, FromRow)]
pub struct TaskKey {
    /// The run.
    #[sqlx(rename = "run_id")]
    pub run: RunId,
    /// The task's place in the run's topological order.
    pub idx: i64,
}

impl TaskKey {
    pub(crate) fn params(self) -> [Param; 2] {
        [self.run.to_string().into(), self.idx.into()]
    }
}
