//! An entry of each kind, under names that the tests write other names over: each ends in two digits.

longshore::package!();

#[longshore::workflow(name = "flow_00")]
pub mod flow {
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    #[task]
    pub async fn only(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore::workflow(name = "more_00")]
pub mod more {
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    #[task]
    pub async fn only(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore::trigger(on = "flow_00", cron = "0 0 1 1 *", name = "trig_00")]
async fn yearly() {}

#[longshore::reactor(name = "reac_00", accumulators = [srce_00], criteria = when_any(srce_00))]
pub struct Reactor;

#[longshore::computation_graph(trigger = reactor("need_00"), graph = { same(take_00) })]
pub mod bound_00 {
    pub async fn same(n: Option<&i64>) -> i64 {
        n.copied().unwrap_or_default()
    }
}

#[longshore::computation_graph(graph = { one })]
pub mod solo_00 {
    pub async fn one(_context: &longshore::Context<serde_json::Value>) -> i64 {
        1
    }
}

#[longshore::computation_graph(graph = { two })]
pub mod solo_01 {
    pub async fn two(_context: &longshore::Context<serde_json::Value>) -> i64 {
        2
    }
}
