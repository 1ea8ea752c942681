use longshore_workflow::workflow;

#[workflow(name = "all at once", params(n: u32, n: u32), secrets(n))]
mod everything {
    use longshore_workflow::{Context, TaskError, task};

    #[task(dependencies = ["c"])]
    async fn a(_c: &mut Context) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["a"])]
    async fn b(_c: &mut Context) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["b"])]
    async fn c(_c: &mut Context) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(id = "b", dependencies = ["fetsh"])]
    async fn d(_c: &mut Context) -> Result<(), TaskError> {
        Ok(())
    }

    #[task]
    async fn fetch(_c: &mut Context) -> Result<(), TaskError> {
        Ok(())
    }
}

#[workflow(name = "circle")]
mod circle {
    use longshore_workflow::{Context, TaskError, task};

    #[task(dependencies = ["last"])]
    async fn first(_c: &mut Context) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["first"])]
    async fn middle(_c: &mut Context) -> Result<(), TaskError> {
        Ok(())
    }

    #[task(dependencies = ["middle"])]
    async fn last(_c: &mut Context) -> Result<(), TaskError> {
        Ok(())
    }
}

#[workflow]
mod nameless {}

#[workflow(name = "x", nmae = "y", params(bare))]
mod arguments {}

#[workflow(name = "x")]
fn not_a_module() {}

fn main() {}
