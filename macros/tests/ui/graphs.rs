use longshore_workflow::{Context, TaskError, computation_graph, task, trigger};

#[computation_graph(trigger = reactor("r"), graph = { entry(a) -> nxt, helper(a) })]
pub mod strangers {
    pub async fn entry(a: Option<&u32>) -> u32 {
        a.copied().unwrap_or(0)
    }
    pub async fn next(n: &u32) -> u32 {
        *n
    }
    pub async fn helper(a: Option<&u32>) -> u32 {
        a.copied().unwrap_or(0)
    }
}

#[computation_graph(trigger = reactor("r"), graph = { a(s) -> b -> c -> a })]
pub mod cycle {
    pub async fn a(s: Option<&u32>, c: &u32) -> u32 {
        s.copied().unwrap_or(*c)
    }
    pub async fn b(a: &u32) -> u32 {
        *a
    }
    pub async fn c(b: &u32) -> u32 {
        *b
    }
}

#[computation_graph(trigger = reactor("r"), graph = {
    decide(s) => { Yes -> yes, Perhaps -> no },
    yes -> both,
    no -> both,
})]
pub mod variants {
    pub enum Decision {
        Yes(u32),
        No(u32),
    }
    pub async fn decide(s: Option<&u32>) -> Decision {
        s.map_or(Decision::No(0), |n| Decision::Yes(*n))
    }
    pub async fn yes(n: &u32) -> u32 {
        *n
    }
    pub async fn no(n: &u32) -> u32 {
        *n
    }
    pub async fn both(yes: &u32, no: &String) -> u32 {
        *yes + no.len() as u32
    }
}

#[computation_graph(trigger = reactor("r"), graph = { a(s, t) -> b, a -> c, c -> b, a -> b, d => { X -> b, X -> c } })]
pub mod arity {
    pub async fn a(s: u32) -> u32 {
        s
    }
    pub async fn b(a: u32, c: &u32, d: &u32) -> u32 {
        a + c + d
    }
    pub async fn c(a: &u32, d: &u32) -> u32 {
        *a + *d
    }
    #[node(slow)]
    pub async fn d() {}
}

#[computation_graph(graph = { entry(source) -> next })]
pub mod no_reactor {
    pub async fn entry(context: u32) -> u32 {
        context
    }
    pub async fn next(n: &u32) -> u32 {
        *n
    }
}

#[computation_graph(trigger = "r", graph = { entry(a) => next })]
pub mod syntax {
    pub async fn entry(a: Option<&u32>) {}
}

#[computation_graph]
pub fn no_module() {}

#[task(invokes = "graph", post_invocation = after)]
pub async fn calls(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
    Ok(())
}

#[trigger(on = "w", reactor = "r", when = task_success("t"), cron = "0 6 * * *")]
pub async fn both_ways() {}

#[trigger(on = "w", poll_interval = "5s", when = always)]
pub async fn when_without_reactor() {}

fn main() {}
