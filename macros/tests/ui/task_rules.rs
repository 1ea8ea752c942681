use longshore_workflow::{Context, TaskError, task};

#[task(dependencies = ["a"], trigger_rules = task_success("b"))]
async fn not_a_dependency(_c: &mut Context) -> Result<(), TaskError> {
    Ok(())
}

#[task(trigger_rules = sometimes)]
async fn unknown_rule(_c: &mut Context) -> Result<(), TaskError> {
    Ok(())
}

#[task(trigger_rules = context_value("k", equal, 1))]
async fn unknown_operator(_c: &mut Context) -> Result<(), TaskError> {
    Ok(())
}

#[task(trigger_rules = all())]
async fn empty(_c: &mut Context) -> Result<(), TaskError> {
    Ok(())
}

#[task(dependencies = ["own", "a", "a"], id = "own")]
async fn own(_c: &mut Context) -> Result<(), TaskError> {
    Ok(())
}

fn main() {}
