use longshore_workflow::{Context, TaskError, task, workflow};

pub enum Kind {
    Small,
}

#[workflow(name = "kinds", params(kind: Kind, none: Option<Kind>))]
pub mod kinds {
    use super::*;

    #[task]
    pub async fn only(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
