//! The package of the chaos.

/// Each task notes that it was executed, in a file that nothing happens to; one of them fails at times.
pub(super) const SOURCE: &str = r#"longshore::package!();

use std::io::Write;

fn note(n: u64, task: &str) -> Result<(), longshore::TaskError> {
    let path = std::env::var("CHAOS_LOG").expect("the host says where");
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let noted = file.and_then(|mut file| file.write_all(format!("{n} {task}\n").as_bytes()));
    noted.map_err(|error| failed(task, &error.to_string()))
}

fn failed(task: &str, message: &str) -> longshore::TaskError {
    longshore::TaskError::ExecutionFailed {
        message: message.to_owned(),
        task_id: task.to_owned(),
        timestamp: Default::default(),
    }
}

#[longshore::workflow(name = "work", params(n: u64))]
pub mod work {
    use super::{failed, note};
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    #[task(retry_attempts = 20, retry_delay_ms = 20)]
    pub async fn first(context: &mut Context<Value>) -> Result<(), TaskError> {
        let n: u64 = context.get_required("n")?;
        note(n, "first")?;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        context.insert_as("a", n * 2)
    }

    #[task(dependencies = ["first"], retry_attempts = 20, retry_delay_ms = 20)]
    pub async fn left(context: &mut Context<Value>) -> Result<(), TaskError> {
        let (n, a): (u64, u64) = (context.get_required("n")?, context.get_required("a")?);
        note(n, "left")?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        if now.subsec_micros() % 5 == 0 {
            return Err(failed("left", "it fails at times"));
        }
        context.insert_as("b", a + 1)
    }

    #[task(dependencies = ["first"], retry_attempts = 20, retry_delay_ms = 20)]
    pub async fn right(context: &mut Context<Value>) -> Result<(), TaskError> {
        let (n, a): (u64, u64) = (context.get_required("n")?, context.get_required("a")?);
        note(n, "right")?;
        context.insert_as("c", a + 3)
    }

    #[task(dependencies = ["left", "right"], retry_attempts = 20, retry_delay_ms = 20)]
    pub async fn sum(context: &mut Context<Value>) -> Result<(), TaskError> {
        let n: u64 = context.get_required("n")?;
        let (b, c): (u64, u64) = (context.get_required("b")?, context.get_required("c")?);
        note(n, "sum")?;
        context.insert_as("result", b + c)
    }
}

#[longshore::workflow(name = "tick")]
pub mod tick {
    use longshore::{Context, TaskError, task};

    #[task]
    pub async fn tock(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore::workflow(name = "marked")]
pub mod marked {
    use longshore::{Context, TaskError, task};

    #[task]
    pub async fn mark(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[longshore::trigger(on = "tick", cron = "* * * * * *", allow_concurrent = true)]
pub async fn seconds() {}

#[longshore::stream_accumulator(type = "file", topic = "events.jsonl")]
pub fn numbers(event: u64) -> u64 {
    event
}

#[longshore::reactor(name = "tally", accumulators = [numbers], criteria = when_any(numbers), input_strategy = "sequential")]
pub struct Tally;

#[longshore::computation_graph(trigger = reactor("tally"), graph = { total(numbers) })]
pub mod tallying {
    pub async fn total(numbers: Option<&u64>) -> serde_json::Value {
        let n = numbers.copied().unwrap_or_default();
        serde_json::json!({ "n": n, "mark": n % 100 == 0 })
    }
}

#[longshore::trigger(on = "marked", reactor = "tally", when = context_value("total.mark", equals, true))]
pub async fn marks() {}
"#;

/// The result of a run of `work`.
pub(super) fn result(n: u64) -> u64 {
    (n * 2 + 1) + (n * 2 + 3)
}
