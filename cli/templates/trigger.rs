//! A Longshore package whose workflow starts by itself: each weekday morning, and for each file in the folder `inbox`.

use longshore::{Context, TriggerError, TriggerResult, trigger};
use std::path::Path;

longshore::package!();

/// The folder that is looked into.
const INBOX: &str = "inbox";

#[longshore::workflow(name = "TEMPLATE_NAME", description = "Counts the words of a file", params(file: String = ""))]
pub mod TEMPLATE_IDENT {
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    /// what: counts the words of the file, when there is one
    #[task]
    pub async fn count(context: &mut Context<Value>) -> Result<(), TaskError> {
        let file: String = context.get_required("file")?;
        let text = if file.is_empty() { String::new() } else { read(&file)? };
        context.insert_as("words", text.split_whitespace().count())
    }

    fn read(file: &str) -> Result<String, TaskError> {
        std::fs::read_to_string(file).map_err(|error| TaskError::failed(format!("{file}: {error}")))
    }
}

/// Each weekday at seven.
#[trigger(on = "TEMPLATE_NAME", cron = "0 7 * * 1-5", timezone = "Europe/Berlin")]
pub fn every_morning() {}

/// For the first file in the inbox; its name is a param of the run.
#[trigger(on = "TEMPLATE_NAME", poll_interval = "10s")]
pub async fn new_file() -> Result<TriggerResult, TriggerError> {
    let Some(file) = first_file(Path::new(INBOX)) else { return Ok(TriggerResult::Skip) };
    let mut context = Context::new();
    context.insert_as("file", file)?;
    Ok(TriggerResult::Fire(Some(context)))
}

fn first_file(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries.filter(|entry| entry.path().is_file()).map(|entry| entry.path().display().to_string()).min()
}

#[cfg(test)]
mod tests {
    use super::TEMPLATE_IDENT::count;
    use longshore::{Context, TaskError};

    #[tokio::test]
    async fn words_are_counted() -> Result<(), TaskError> {
        let mut context = Context::new();
        context.insert_as("file", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))?;
        count(&mut context).await?;
        assert!(context.get_required::<usize>("words")? > 10);
        Ok(())
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_file() {
        assert_eq!(super::first_file(std::path::Path::new("nowhere")), None);
    }
}
