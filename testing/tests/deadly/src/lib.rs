//! Tasks that end their process, and tasks beside them that take their time.

longshore::package!();

#[longshore::workflow(name = "deadly")]
pub mod deadly {
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    #[task]
    pub async fn ends_its_process(_context: &mut Context<Value>) -> Result<(), TaskError> {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        std::process::exit(7)
    }
}

#[longshore::workflow(name = "innocent")]
pub mod innocent {
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    #[task]
    pub async fn takes_its_time(_context: &mut Context<Value>) -> Result<(), TaskError> {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        Ok(())
    }
}
