use longshore_workflow::{Context, TaskError, task};

#[task(retry_attemps = 3, id = 7, retry_backoff = "exponental", retry_condition = "transent", dependencies = "a")]
async fn misspelt(_c: &mut Context) -> Result<(), TaskError> {
    Ok(())
}

#[task(id = "x", id = "y", retry_jitter = "yes", retry_delay_ms = -1, frobnicate = 1)]
async fn twice(_c: &mut Context) -> Result<(), TaskError> {
    Ok(())
}

fn main() {}
