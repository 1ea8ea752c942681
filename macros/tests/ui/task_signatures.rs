use longshore_workflow::{Context, TaskError, TaskHandle, task};

#[task]
async fn nothing() -> Result<(), TaskError> {
    Ok(())
}

#[task]
async fn by_value(_c: Context) -> Result<(), TaskError> {
    Ok(())
}

#[task]
async fn wrong_type(_c: &mut String) -> Result<(), TaskError> {
    Ok(())
}

#[task]
async fn wrong_handle(_c: &mut Context, _h: TaskHandle) -> Result<(), TaskError> {
    Ok(())
}

#[task]
async fn too_many(_c: &mut Context, _h: &mut TaskHandle, _n: u32) -> Result<(), TaskError> {
    Ok(())
}

#[task]
async fn no_result(_c: &mut Context) {}

#[task]
async fn generic<T>(_c: &mut Context) -> Result<(), TaskError> {
    Ok(())
}

#[task]
struct NotAFunction;

fn main() {}
