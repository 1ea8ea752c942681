//! Workflows as the engine sees them: tasks in topological order, with what each waits for.

use crate::model::param::ParamDef;
use fixedbitset::FixedBitSet;
use longshore_store::{Digest, PackageName, QueueId, TenantId};
use longshore_workflow::private::RetryEntry;
use longshore_workflow::{RetryPolicy, Rule};
use longshore_workflow_plugin::wire::{ParamMeta, RetryMeta, TaskMeta, TaskMetadata, WorkflowMeta};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Most tasks of one workflow: a run's rows are written in one transaction.
pub(crate) const MAX_TASKS: usize = 10_000;

/// Names a workflow: its tenant and its name.
pub type WorkflowKey = (TenantId, String);

/// A workflow of one digest.
#[derive(Debug, Clone)]
pub struct WorkflowDef {
    /// The digest it is part of.
    pub digest: Digest,
    /// The package.
    pub package: PackageName,
    /// The package's version.
    pub version: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The name.
    pub name: String,
    /// Its purpose.
    pub description: String,
    /// The triggers that start it beside those that name it.
    pub triggers: Vec<String>,
    /// Its inputs.
    pub params: Vec<ParamDef>,
    /// Its tasks: every task stands after those it waits for, ties by id.
    pub tasks: Vec<TaskDef>,
    /// Longest time an attempt may take.
    pub task_timeout_ms: Option<u64>,
    /// Longest time a run may take.
    pub run_timeout_ms: Option<u64>,
    /// The queue of its tasks.
    pub queue: QueueId,
}

/// A task of a workflow.
#[derive(Debug, Clone)]
pub struct TaskDef {
    /// The id.
    pub id: String,
    /// Its index in the package's task list.
    pub index: u32,
    /// The tasks it waits for, as places in [`WorkflowDef::tasks`].
    pub dependencies: Vec<usize>,
    /// The tasks that wait for it.
    pub dependants: Vec<usize>,
    /// Everything above it: one bit for each task of the workflow.
    pub ancestors: FixedBitSet,
    /// Its rule, none for the default.
    pub rule: Option<Rule>,
    /// When and how it is tried again.
    pub retry: RetryPolicy,
    /// Its description, from the doc comment.
    pub what: String,
}

/// Why a package's metadata makes no workflows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Two workflows of one package have the same name.
    #[error("the package declares the workflow `{workflow}` twice")]
    TwoWorkflows {
        /// The workflow.
        workflow: String,
    },
    /// Two tasks of a workflow have the same id.
    #[error("workflow `{workflow}` has two tasks `{task}`")]
    TwoTasks {
        /// The workflow.
        workflow: String,
        /// The id.
        task: String,
    },
    /// A dependency does not exist.
    #[error("workflow `{workflow}`: `{task}` depends on `{dependency}`, which it does not have")]
    UnknownDependency {
        /// The workflow.
        workflow: String,
        /// The task.
        task: String,
        /// The name it gives.
        dependency: String,
    },
    /// Tasks wait for each other.
    #[error("workflow `{workflow}`: these tasks wait for each other: {}", tasks.join(", "))]
    Cycle {
        /// The workflow.
        workflow: String,
        /// The tasks that can never start.
        tasks: Vec<String>,
    },
    /// A rule does not parse or names a task that is not a dependency.
    #[error("workflow `{workflow}`: the rule of `{task}` {message}")]
    BadRule {
        /// The workflow.
        workflow: String,
        /// The task.
        task: String,
        /// The fault.
        message: String,
    },
    /// A param's schema or default is not what it should be.
    #[error("workflow `{workflow}`: param `{param}`: {message}")]
    BadParam {
        /// The workflow.
        workflow: String,
        /// The param.
        param: String,
        /// The fault.
        message: String,
    },
    /// Too many tasks.
    #[error("workflow `{workflow}` has {tasks} tasks, over the limit of {MAX_TASKS}")]
    TooManyTasks {
        /// The workflow.
        workflow: String,
        /// Their number.
        tasks: usize,
    },
}

/// All workflows of a package's metadata.
///
/// # Errors
/// [`DefinitionError`] for what the macros could not see at compile time.
pub fn definitions(metadata: &TaskMetadata, digest: &Digest) -> Result<Vec<WorkflowDef>, DefinitionError> {
    let mut seen = BTreeSet::new();
    let mut defs = Vec::with_capacity(metadata.workflows.len());
    for workflow in &metadata.workflows {
        if !seen.insert((&workflow.tenant, &workflow.name)) {
            return Err(DefinitionError::TwoWorkflows { workflow: workflow.name.clone() });
        }
        defs.push(definition(metadata, workflow, digest)?);
    }
    Ok(defs)
}

fn definition(
    metadata: &TaskMetadata,
    workflow: &WorkflowMeta,
    digest: &Digest,
) -> Result<WorkflowDef, DefinitionError> {
    let own =
        |(_, task): &(usize, &TaskMeta)| task.workflow == workflow.name && task.tenant == workflow.tenant;
    let metas: Vec<(usize, &TaskMeta)> = metadata.tasks.iter().enumerate().filter(own).collect();
    if metas.len() > MAX_TASKS {
        return Err(DefinitionError::TooManyTasks { workflow: workflow.name.clone(), tasks: metas.len() });
    }
    let tasks = order(&workflow.name, &metas)?;
    let param = |meta: &ParamMeta| {
        ParamDef::read(meta).map_err(|message| DefinitionError::BadParam {
            workflow: workflow.name.clone(),
            param: meta.name.clone(),
            message,
        })
    };
    let params = workflow.params.iter().map(param).collect::<Result<_, _>>()?;
    Ok(WorkflowDef {
        digest: digest.clone(),
        package: metadata.package.name.as_str().into(),
        version: metadata.package.version.clone(),
        tenant: workflow.tenant.as_str().into(),
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        triggers: workflow.triggers.clone(),
        params,
        tasks,
        task_timeout_ms: None,
        run_timeout_ms: None,
        queue: QueueId::of(digest, &workflow.tenant.as_str().into(), &workflow.name),
    })
}

/// Sorts tasks topologically, ties by id, and turns ids into places.
fn order(workflow: &str, metas: &[(usize, &TaskMeta)]) -> Result<Vec<TaskDef>, DefinitionError> {
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    for (i, (_, meta)) in metas.iter().enumerate() {
        if by_id.insert(&meta.id, i).is_some() {
            return Err(DefinitionError::TwoTasks { workflow: workflow.to_owned(), task: meta.id.clone() });
        }
    }
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); metas.len()];
    let mut waiting: Vec<usize> = vec![0; metas.len()];
    for (i, (_, meta)) in metas.iter().enumerate() {
        let unique: BTreeSet<&String> = meta.dependencies.iter().collect();
        for dependency in unique {
            let Some(&on) = by_id.get(dependency.as_str()) else {
                let (task, dependency) = (meta.id.clone(), dependency.clone());
                return Err(DefinitionError::UnknownDependency {
                    workflow: workflow.to_owned(),
                    task,
                    dependency,
                });
            };
            dependants[on].push(i);
            waiting[i] += 1;
        }
    }
    let mut ready: BTreeSet<(&str, usize)> =
        (0..metas.len()).filter(|i| waiting[*i] == 0).map(|i| (metas[i].1.id.as_str(), i)).collect();
    let mut sorted = Vec::with_capacity(metas.len());
    while let Some((_, next)) = ready.pop_first() {
        sorted.push(next);
        for &dependant in &dependants[next] {
            waiting[dependant] -= 1;
            if waiting[dependant] == 0 {
                ready.insert((metas[dependant].1.id.as_str(), dependant));
            }
        }
    }
    if sorted.len() < metas.len() {
        let tasks = (0..metas.len()).filter(|i| waiting[*i] > 0).map(|i| metas[i].1.id.clone()).collect();
        return Err(DefinitionError::Cycle { workflow: workflow.to_owned(), tasks });
    }
    place(workflow, metas, &sorted, &dependants)
}

fn place(
    workflow: &str,
    metas: &[(usize, &TaskMeta)],
    sorted: &[usize],
    dependants: &[Vec<usize>],
) -> Result<Vec<TaskDef>, DefinitionError> {
    let mut place = vec![0; metas.len()];
    for (at, original) in sorted.iter().enumerate() {
        place[*original] = at;
    }
    let mut tasks: Vec<TaskDef> = Vec::with_capacity(metas.len());
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); metas.len()];
    for (at, &original) in sorted.iter().enumerate() {
        for &dependant in &dependants[original] {
            above[place[dependant]].push(at);
        }
        let (index, meta) = metas[original];
        let dependencies = std::mem::take(&mut above[at]);
        let mut ancestors = FixedBitSet::with_capacity(metas.len());
        for &above in &dependencies {
            ancestors.union_with(&tasks[above].ancestors);
            ancestors.insert(above);
        }
        tasks.push(TaskDef {
            id: meta.id.clone(),
            index: index as u32,
            dependencies,
            dependants: dependants[original].iter().map(|d| place[*d]).collect(),
            ancestors,
            rule: rule(workflow, meta)?,
            retry: retry(&meta.retry),
            what: meta.what.clone(),
        });
    }
    Ok(tasks)
}

fn rule(workflow: &str, meta: &TaskMeta) -> Result<Option<Rule>, DefinitionError> {
    if meta.rule.is_empty() {
        return Ok(None);
    }
    let bad = |message: String| DefinitionError::BadRule {
        workflow: workflow.to_owned(),
        task: meta.id.clone(),
        message,
    };
    let rule: Rule = serde_json::from_str(&meta.rule).map_err(|e| bad(format!("does not parse: {e}")))?;
    match rule.tasks().into_iter().find(|task| !meta.dependencies.iter().any(|d| d == task)) {
        Some(task) => Err(bad(format!("names `{task}`, which is not among the dependencies"))),
        None => Ok(Some(rule)),
    }
}

fn retry(meta: &RetryMeta) -> RetryPolicy {
    let entry = RetryEntry {
        attempts: meta.attempts,
        backoff: &meta.backoff,
        delay_ms: meta.delay_ms,
        max_delay_ms: meta.max_delay_ms,
        condition: &meta.condition,
        jitter: meta.jitter,
    };
    entry.policy()
}

impl WorkflowDef {
    /// The full name.
    pub fn key(&self) -> WorkflowKey {
        (self.tenant.clone(), self.name.clone())
    }

    /// True when a run that began on `old` can go on with this: the same tasks wait for the same tasks.
    pub fn continues(&self, old: &Self) -> bool {
        let shape = |task: &TaskDef| (task.id.clone(), task.dependencies.clone());
        self.key() == old.key() && self.tasks.iter().map(shape).eq(old.tasks.iter().map(shape))
    }

    /// The definition under another digest.
    pub(crate) fn with_digest(mut self, digest: Digest) -> Self {
        self.queue = QueueId::of(&digest, &self.tenant, &self.name);
        self.digest = digest;
        self
    }

    /// The definition with a package's limits.
    pub fn with_limits(mut self, task_timeout_ms: Option<u64>, run_timeout_ms: Option<u64>) -> Arc<Self> {
        self.task_timeout_ms = task_timeout_ms;
        self.run_timeout_ms = run_timeout_ms;
        Arc::new(self)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use longshore_workflow_plugin::wire::PackageMeta;
    use proptest::prelude::*;

    /// Metadata of one workflow `flow` with these tasks and dependencies.
    pub(crate) fn metadata(tasks: &[(&str, &[&str])]) -> TaskMetadata {
        let task = |(id, dependencies): &(&str, &[&str])| TaskMeta {
            workflow: "flow".into(),
            tenant: "public".into(),
            id: (*id).into(),
            dependencies: dependencies.iter().map(|d| (*d).into()).collect(),
            retry: RetryMeta {
                attempts: 3,
                backoff: "fixed".into(),
                condition: "all".into(),
                ..RetryMeta::default()
            },
            ..TaskMeta::default()
        };
        TaskMetadata {
            package: PackageMeta { name: "p".into(), version: "1".into(), sdk: "0".into() },
            workflows: vec![WorkflowMeta {
                name: "flow".into(),
                tenant: "public".into(),
                ..WorkflowMeta::default()
            }],
            tasks: tasks.iter().map(task).collect(),
        }
    }

    pub(crate) fn flow(tasks: &[(&str, &[&str])]) -> Result<WorkflowDef, DefinitionError> {
        definitions(&metadata(tasks), &Digest::from_sha256([1; 32])).map(|mut defs| defs.remove(0))
    }

    #[test]
    fn tasks_stand_after_what_they_wait_for_and_ties_go_by_id() {
        let def = flow(&[("z", &[]), ("join", &["b", "a"]), ("b", &["z"]), ("a", &["z"])]).expect("acyclic");
        let ids: Vec<_> = def.tasks.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids, ["z", "a", "b", "join"]);
        assert_eq!(def.tasks[3].ancestors.ones().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(def.tasks[0].dependants, [2, 1]);
    }

    #[test]
    fn a_cycle_names_its_tasks() {
        let error = flow(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]).expect_err("cycle").to_string();
        assert_eq!(error, "workflow `flow`: these tasks wait for each other: a, b");
    }

    proptest! {
        #[test]
        fn every_order_of_declaration_gives_the_same_definition(seed in any::<u64>()) {
            let tasks: [(&str, &[&str]); 5] =
                [("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"]), ("e", &[])];
            let mut shuffled = tasks.to_vec();
            shuffled.sort_by_key(|(id, _)| seed.rotate_left(u32::from(id.as_bytes()[0])).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let ids = |tasks: &[(&str, &[&str])]| {
                flow(tasks).map(|d| d.tasks.iter().map(|t| (t.id.clone(), t.ancestors.clone())).collect::<Vec<_>>())
            };
            prop_assert_eq!(ids(&tasks), ids(&shuffled));
        }
    }
}
