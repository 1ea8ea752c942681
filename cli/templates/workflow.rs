//! A Longshore package.

longshore::package!();

#[longshore::workflow(name = "TEMPLATE_NAME", description = "Greets somebody", params(name: String = "world"))]
pub mod TEMPLATE_IDENT {
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

#[cfg(test)]
mod tests {
    use super::TEMPLATE_IDENT::{find, greet};
    use longshore::{Context, TaskError};

    #[tokio::test]
    async fn somebody_is_greeted() -> Result<(), TaskError> {
        let mut context = Context::new();
        context.insert_as("name", " Ada ")?;
        find(&mut context).await?;
        greet(&mut context).await?;
        assert_eq!(context.get_required::<String>("greeting")?, "Hello, Ada!");
        Ok(())
    }
}
