//! [`TaskNamespace`]: the full name of a task.

use std::fmt;

/// Tenant, package, workflow and task: what names a task among all that a host knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskNamespace {
    /// The tenant, `public` unless the workflow says otherwise.
    pub tenant_id: String,
    /// The package, `embedded` for workflows of the program itself.
    pub package_name: String,
    /// The workflow.
    pub workflow_id: String,
    /// The task.
    pub task_id: String,
}

impl TaskNamespace {
    /// Puts the four parts together.
    pub fn new(tenant_id: &str, package_name: &str, workflow_id: &str, task_id: &str) -> Self {
        Self {
            tenant_id: tenant_id.to_owned(),
            package_name: package_name.to_owned(),
            workflow_id: workflow_id.to_owned(),
            task_id: task_id.to_owned(),
        }
    }

    /// Parses `tenant::package::workflow::task`.
    ///
    /// # Errors
    /// A sentence that says how many parts there were.
    pub fn from_string(text: &str) -> Result<Self, String> {
        parse_namespace(text)
    }

    /// True when the tenant is the default one.
    pub fn is_public(&self) -> bool {
        self.tenant_id == "public"
    }

    /// True when the task is the program's own.
    pub fn is_embedded(&self) -> bool {
        self.package_name == "embedded"
    }
}

impl fmt::Display for TaskNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}::{}::{}", self.tenant_id, self.package_name, self.workflow_id, self.task_id)
    }
}

/// Parses `tenant::package::workflow::task`.
///
/// # Errors
/// A sentence that says how many parts there were.
pub fn parse_namespace(text: &str) -> Result<TaskNamespace, String> {
    let parts: Vec<&str> = text.split("::").collect();
    match parts[..] {
        [tenant, package, workflow, task] => Ok(TaskNamespace::new(tenant, package, workflow, task)),
        _ => Err(format!("`{text}` has {} parts, not tenant::package::workflow::task", parts.len())),
    }
}
