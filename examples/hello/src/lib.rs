//! The smallest package: one workflow of two tasks.
#![forbid(unsafe_code)]

longshore::package!();

#[longshore::workflow(name = "hello", description = "Greets somebody", params(name: String = "world"))]
pub mod hello {
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    /// what: finds out whom to greet
    #[task]
    pub async fn find(context: &mut Context<Value>) -> Result<(), TaskError> {
        let name: String = context.get_required("name")?;
        context.insert_as("whom", name.trim())
    }

    /// what: writes the greeting
    #[task(dependencies = ["find"])]
    pub async fn greet(context: &mut Context<Value>) -> Result<(), TaskError> {
        let whom: String = context.get_required("whom")?;
        context.insert_as("greeting", format!("Hello, {whom}!"))
    }
}
